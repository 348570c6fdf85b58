// oauth2-mock-server, and a resource that it guards: 12 items for whoever shows a token that it has signed.
// node oauth2_server.mjs <folder of the package> <port of the tokens> <port of the items>
import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, tokenPort, itemPort] = process.argv.slice(2);
const { OAuth2Server } = await import(pathToFileURL(`${folder}/dist/index.mjs`));

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(Number(tokenPort), '127.0.0.1');

// What it was asked and what it answered, for the tests.
const grants = [];
server.service.on('beforeResponse', (response, request) => {
  grants.push({ form: request.body, authorization: request.headers.authorization ?? null, answer: response.body });
});

function isGood(authorization) {
  const [head, claims, signature] = (authorization ?? '').replace(/^Bearer /, '').split('.');
  if (!signature) return false;
  const key = createPublicKey({ key: server.issuer.keys.toJSON()[0], format: 'jwk' });
  const isSigned = verify('sha256', Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url'));
  return isSigned && JSON.parse(Buffer.from(claims, 'base64url')).exp * 1000 > Date.now();
}

createServer((request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  const send = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  if (url.pathname === '/grants') return send(200, grants);
  if (!isGood(request.headers.authorization)) return send(401, { error: 'invalid_token' });
  const offset = Number(url.searchParams.get('offset') ?? 0);
  const limit = Number(url.searchParams.get('limit') ?? 5);
  const all = Array.from({ length: 12 }, (_, id) => ({ id, name: `item ${id}` }));
  send(200, { items: all.slice(offset, offset + limit) });
}).listen(Number(itemPort), '127.0.0.1');
