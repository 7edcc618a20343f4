// A proxy on this machine, and behind it the servers mirror.test, whose certificate is of the test
// CA, and stranger.test, whose certificate nobody has signed. Only the proxy knows their names.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { root } from '../support/root.mjs';

const tls = path.join(root, 'test', 'fixtures', 'tls');
/** The certificate of the CA that signed that of mirror.test. */
export const CA_FILE = path.join(tls, 'ca.pem');

const listen = (server) =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));

/** Starts them. `answer` listens to requests of both; `requests`: what the proxy was asked. */
export async function startProxy(answer) {
  const read = (name) => readFileSync(path.join(tls, name));
  const secure = (name) =>
    https.createServer({ key: read(`${name}.key`), cert: read(`${name}.pem`) }, answer);
  const servers = { 'mirror.test': secure('mirror'), 'stranger.test': secure('stranger') };
  const plain = http.createServer(answer);
  const ports = { ':80': await listen(plain) };
  for (const [name, server] of Object.entries(servers)) ports[`${name}:443`] = await listen(server);

  const requests = [];
  const note = ({ method, url, headers }) =>
    requests.push({ method, url, authorization: headers['proxy-authorization'] });
  const sockets = new Set();
  const proxy = http.createServer((request, response) => {
    note(request); // a plain request, with the whole address
    answer(request, response);
  });
  proxy.on('connect', (request, client) => {
    note(request);
    const port = ports[request.url] ?? ports[request.url.replace(/^[^:]+/, '')];
    if (port === undefined) {
      client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      return;
    }
    const upstream = net.connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
  });
  const address = `http://127.0.0.1:${await listen(proxy)}`;
  const close = () => {
    for (const socket of sockets) socket.destroy();
    for (const server of [proxy, plain, ...Object.values(servers)]) {
      server.close();
      server.closeAllConnections();
    }
  };
  return { address, requests, close };
}
