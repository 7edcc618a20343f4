import { stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { isPipeOfWindows, readEngineRecord } from '../../formats/run/engineRecord';
import { LoraError, type SerializedError } from '../../shared/errors';
import type {
  EngineNotificationName,
  EngineNotifications,
  EngineRequestName,
  EngineRequests,
} from '../../shared/engineProtocol';
import type { Disposable } from '../../common/signal';
import { t } from '../text/l10n';

/**
 * A connection to the engine of a run. It ends when either side closes it and is not reopened.
 * `request` rejects with a LoraError: the engine's refusal, or LoraError('engine') when the
 * connection is broken. `onClose` calls its listener immediately if the connection is closed.
 */
export interface EngineClient extends Disposable {
  request<N extends EngineRequestName>(
    name: N,
    params: EngineRequests[N]['params'],
  ): Promise<EngineRequests[N]['result']>;
  on<N extends EngineNotificationName>(
    name: N,
    listener: (params: EngineNotifications[N]) => void,
  ): Disposable;
  onClose(listener: () => void): Disposable;
}

/**
 * Connects to the engine of a run folder.
 *
 * @throws LoraError('engine') when there is none or it does not respond.
 */
export async function connectEngine(runDir: string): Promise<EngineClient> {
  const record = await readEngineRecord(runDir);
  if (!record)
    throw new LoraError('engine', t('This run has no running engine.'), {
      place: { file: runDir },
    });
  await refuseForeignPipe(record.pipe);
  const socket = await openSocket(record.pipe);
  return clientOver(socket);
}

/**
 * A run folder may come from anywhere: its engine.json must not make the extension connect to
 * another user's socket.
 */
async function refuseForeignPipe(pipe: string): Promise<void> {
  if (process.platform === 'win32') {
    if (!isPipeOfWindows(pipe)) throw new LoraError('engine', t('{0} is not a named pipe.', pipe));
    return;
  }
  const info = await stat(pipe).catch(() => null);
  if (!info?.isSocket())
    throw new LoraError(
      'engine',
      t('The engine of this run has ended: its pipe no longer exists.'),
      {
        place: { file: pipe },
      },
    );
  if (info.uid !== process.getuid?.())
    throw new LoraError('engine', t('The pipe belongs to another user.'), {
      place: { file: pipe },
    });
}

function openSocket(pipe: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(pipe);
    const failed = (cause: Error) =>
      reject(
        new LoraError('engine', t('The engine does not respond: {0}', cause.message), {
          place: { file: pipe },
          cause,
        }),
      );
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(socket);
    });
  });
}

/** The RPC library is loaded with the first connection so that it doesn't delay activation. */
async function clientOver(socket: Socket): Promise<EngineClient> {
  const { createMessageConnection, SocketMessageWriter } = await import('vscode-jsonrpc/node');
  const { messageReader } = await import('../../common/messageReader');
  const connection = createMessageConnection(
    messageReader(socket),
    new SocketMessageWriter(socket),
  );
  const closed = new Set<() => void>();
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    connection.dispose();
    socket.destroy();
    for (const listener of closed) listener();
  };
  socket.on('error', close);
  socket.on('close', close);
  connection.onError(close);
  connection.listen();
  return {
    request: async (name, params) => {
      if (!open) throw new LoraError('engine', t('The engine of this run has ended.'));
      try {
        return await (params === undefined
          ? connection.sendRequest(name)
          : connection.sendRequest(name, params));
      } catch (error) {
        throw refusalOf(error);
      }
    },
    on: (name, listener) => connection.onNotification(name, listener),
    onClose: (listener) => {
      if (!open) listener();
      else closed.add(listener);
      return { dispose: () => closed.delete(listener) };
    },
    dispose: close,
  };
}

/** The engine refuses with a LoraError as data; any other error means that the pipe is broken. */
function refusalOf(error: unknown): LoraError {
  const data: unknown = error instanceof Error && 'data' in error ? error.data : undefined;
  if (typeof data === 'object' && data !== null && 'area' in data && 'message' in data)
    return LoraError.deserialize(data as SerializedError);
  return new LoraError('engine', t('The engine of this run does not respond.'), { cause: error });
}
