import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  createMessageConnection,
  ResponseError,
  ErrorCodes,
  SocketMessageWriter,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { messageReader } from '../../common/messageReader';
import { LoraError } from '../../shared/errors';
import type {
  EngineNotificationName,
  EngineNotifications,
  EngineRequestName,
  EngineRequests,
} from '../../shared/engineProtocol';

/** How long a client may take to close its end of the pipe. */
const CLOSE_MS = 1_000;
/** Notifications that wait for a client that reads too slowly, such as a suspended window. */
const UNSENT_LIMIT = 1_000;

/** Answers to the clients' requests; a LoraError is sent to the client. */
export type Handlers = {
  readonly [N in EngineRequestName]: (
    params: EngineRequests[N]['params'],
  ) => Promise<EngineRequests[N]['result']> | EngineRequests[N]['result'];
};

/**
 * The named pipe of a run, for any number of clients of the same user. A client that disconnects
 * does not affect the others.
 */
export class PipeServer {
  /** The number of notifications that each client has not taken yet. */
  private readonly clients = new Map<MessageConnection, number>();
  private readonly sockets = new Set<Socket>();

  private constructor(
    readonly path: string,
    private readonly server: Server,
    private readonly folder: string | null,
    private readonly onClients: (count: number) => void,
  ) {}

  /**
   * Listens under a random name, in a folder that only the owner can enter. Calls `onClients` with
   * the number of connected clients when it changes.
   */
  static async listen(handlers: Handlers, onClients: (count: number) => void): Promise<PipeServer> {
    const folder =
      process.platform === 'win32' ? null : await mkdtemp(path.join(tmpdir(), 'lora-'));
    if (folder) await chmod(folder, 0o700);
    const name = folder
      ? path.join(folder, 'pipe')
      : `\\\\.\\pipe\\lora-${randomBytes(16).toString('hex')}`;
    const server = createServer();
    const pipe = new PipeServer(name, server, folder, onClients);
    server.on('connection', (socket) => pipe.connect(socket, handlers));
    await new Promise<void>((resolve, reject) =>
      server.once('error', reject).listen(name, resolve),
    );
    if (folder) await chmod(name, 0o600);
    return pipe;
  }

  /**
   * Sends a notification to all clients, except to those that are far behind: they find what they
   * missed in the run's folder.
   */
  notify<N extends EngineNotificationName>(name: N, params: EngineNotifications[N]): void {
    for (const [client, unsent] of this.clients) {
      if (unsent >= UNSENT_LIMIT) continue;
      this.count(client, 1);
      const sent = () => this.count(client, -1);
      client.sendNotification(name, params).then(sent, sent);
    }
  }

  private count(client: MessageConnection, change: number): void {
    const unsent = this.clients.get(client);
    if (unsent !== undefined) this.clients.set(client, unsent + change);
  }

  /** Disconnects all clients and removes the pipe. */
  async close(): Promise<void> {
    for (const client of [...this.clients.keys()]) client.end();
    // a client that is suspended does not close its end
    const impatient = setTimeout(() => {
      for (const socket of this.sockets) socket.destroy();
    }, CLOSE_MS);
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    clearTimeout(impatient);
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
  }

  private connect(socket: Socket, handlers: Handlers): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    const client = createMessageConnection(messageReader(socket), new SocketMessageWriter(socket));
    const disconnect = () => {
      if (!this.clients.delete(client)) return;
      client.dispose();
      socket.destroy();
      this.onClients(this.clients.size);
    };
    for (const name of Object.keys(handlers) as EngineRequestName[])
      client.onRequest(name, (params: unknown) =>
        respond(handlers[name] as (params: unknown) => unknown, params),
      );
    client.onError(disconnect);
    client.onClose(disconnect);
    socket.on('error', disconnect);
    this.clients.set(client, 0);
    client.listen();
    this.onClients(this.clients.size);
  }
}

async function respond(handler: (params: unknown) => unknown, params: unknown): Promise<unknown> {
  try {
    return await handler(params);
  } catch (error) {
    const lora = LoraError.from(error, 'engine');
    throw new ResponseError(ErrorCodes.InternalError, lora.message, lora.serialize());
  }
}
