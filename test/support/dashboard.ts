import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export type Reply = (request: IncomingMessage, response: ServerResponse) => void;

/** A server in the place of a Ray dashboard. It answers `api/version` unless `replies` does. */
export async function startDashboard(
  replies: Readonly<Record<string, Reply>>,
): Promise<{ readonly address: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    asked.push(`${request.method} ${pathname}`);
    const fits = Object.keys(replies).find((prefix) => pathname.startsWith(prefix));
    const reply = fits === undefined ? undefined : replies[fits];
    if (reply) reply(request, response);
    else if (pathname === '/api/version') json({ ray_version: '2.60.0' })(request, response);
    else response.writeHead(404).end('not found');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

/** A reply with JSON. */
export const json =
  (value: unknown, status = 200): Reply =>
  (_, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(value));
  };
