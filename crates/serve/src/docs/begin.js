"use strict";
SwaggerUIBundle({
  // The page may stand under /docs and /docs/, and behind a stage's name.
  url: location.pathname.replace(/\/docs\/?$/, "/openapi.json"),
  dom_id: "#viewer",
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  // Who validates documents elsewhere need not see this one.
  validatorUrl: null,
});
