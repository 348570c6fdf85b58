
"use strict";
// Texts from the document are set as text, never as markup.
const element = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
};
const key = () => document.getElementById("key").value;
const typeOf = (schema) => [].concat(schema.type ?? "any").filter((it) => it !== "null").join(" | ") +
  (schema.format ? ` (${schema.format})` : "");
const limits = (schema) => [
  schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  schema.minimum !== undefined && `at least ${schema.minimum}`,
  schema.maximum !== undefined && `at most ${schema.maximum}`,
].filter(Boolean).join(", ");

function row(...cells) {
  return element("tr", "", ...cells.map((cell) => cell instanceof Node ? element("td", "", cell) : element("td", cell)));
}

function table(titles, rows) {
  return element("table", "", element("tr", "", ...titles.map((title) => element("th", title))), ...rows);
}

function route(path, operation) {
  const inputs = new Map();
  const parameters = operation.parameters.map((parameter) => {
    const input = element("input");
    input.name = parameter.name;
    input.placeholder = parameter.required ? "required" : "";
    inputs.set(parameter, input);
    const about = [parameter.description, limits(parameter.schema)].filter(Boolean).join(" · ");
    return row(parameter.name, typeOf(parameter.schema), about, input);
  });
  const url = () => {
    let filled = path;
    const query = new URLSearchParams();
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "") query.set(parameter.name, input.value);
    }
    const text = query.toString();
    return new URL(filled.slice(1) + (text ? `?${text}` : ""), new URL(".", location.href));
  };
  const secured = operation.security.length > 0;
  const curl = element("pre");
  const describe = () => {
    curl.textContent = `curl${secured ? " -H 'x-api-key: <key>'" : ""} '${url().href.replaceAll("'", "%27")}'`;
  };
  const answer = element("pre");
  answer.hidden = true;
  const next = element("button", "Next page");
  next.hidden = true;
  const send = async () => {
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const started = performance.now();
      const response = await fetch(url(), { headers: key() ? { "x-api-key": key() } : {} });
      const text = await response.text();
      const took = Math.round(performance.now() - started);
      let shown = text;
      let cursor = null;
      try {
        const body = JSON.parse(text);
        shown = JSON.stringify(body, null, 2);
        cursor = body.page?.next ?? null;
      } catch { /* not ours: shown as it came */ }
      answer.textContent = `${response.status} · ${text.length} characters · ${took} ms\n\n${shown}`;
      next.hidden = cursor === null;
      next.onclick = () => {
        for (const [parameter, input] of inputs) if (parameter.name === "cursor") input.value = cursor;
        describe();
        send();
      };
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  for (const input of inputs.values()) input.oninput = describe;
  const button = element("button", "Try it");
  button.onclick = send;
  describe();
  const item = operation.responses["200"].content["application/json"].schema.properties.data.items;
  const columns = Object.entries(item.properties ?? {}).map(([name, schema]) => row(name, typeOf(schema)));
  const summary = element("summary", "", element("b", "GET"), element("code", path),
    element("span", ` ${operation.summary ?? ""}${secured ? " · needs a key" : ""}`));
  return element("section", "", element("details", "", summary,
    table(["parameter", "type", "", "value"], parameters), curl, button, next, answer,
    ...(columns.length ? [table(["column", "type"], columns)] : [])));
}

(async () => {
  const routes = document.getElementById("routes");
  try {
    const api = await (await fetch(new URL("openapi.json", new URL(".", location.href)))).json();
    document.getElementById("about").textContent = api.info.description;
    const sections = Object.entries(api.paths).map(([path, item]) => route(path, item.get));
    routes.replaceChildren(...(sections.length ? sections : [element("p", "No routes are defined yet.")]));
  } catch (error) {
    routes.replaceChildren(element("p", `openapi.json cannot be read: ${error}`));
  }
})();
