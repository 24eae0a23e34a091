// The real npm package oidc-provider, and an MCP endpoint that wants its tokens. Prints its origin when it listens.
//
// Registration is open; refresh tokens rotate; access tokens are for the resource /mcp alone, and opaque, so that the endpoint can
// look them up. `POST /end` makes every access token end at once.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.argv[2]}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${server.address().port}`;
const resource = `${origin}/mcp`;
const ended = new Set();

const provider = new Provider(origin, {
  cookies: { keys: ['a key for tests'] },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, asked) => {
        if (asked !== resource) throw new Error('invalid_target');
        return { scope: 'notes:read', audience: resource, accessTokenTTL: 3600, accessTokenFormat: 'opaque' };
      },
    },
  },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  scopes: ['openid', 'offline_access', 'notes:read'],
});

const handle = provider.callback();
const json = (response, status, body, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

server.on('request', async (request, response) => {
  const path = new URL(request.url, origin).pathname;
  if (path === '/.well-known/oauth-protected-resource/mcp') {
    return json(response, 200, { resource, authorization_servers: [origin], scopes_supported: ['notes:read'] });
  }
  if (path !== '/mcp') return handle(request, response);
  const value = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  const token = value && !ended.has(value) ? await provider.AccessToken.find(value) : undefined;
  if (request.headers['x-end'] === 'token') ended.add(value);
  if (!token || token.aud !== resource) {
    const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
    return json(response, 401, {}, { 'www-authenticate': `Bearer resource_metadata="${metadata}", scope="notes:read"` });
  }
  return json(response, 200, { jsonrpc: '2.0', id: 1, result: { account: token.accountId, scope: token.scope } });
});
console.log(origin);
