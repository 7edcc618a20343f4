// Asks the engine of a run through the pipe here, as the editor does.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import {
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node';

/** The answer of the engine that owns a run's folder. */
export async function askEngine(dir, method) {
  const socket = connect(JSON.parse(readFileSync(path.join(dir, 'engine.json'))).pipe);
  const pipe = createMessageConnection(
    new StreamMessageReader(socket),
    new StreamMessageWriter(socket),
  );
  pipe.listen();
  try {
    return await pipe.sendRequest(method);
  } finally {
    pipe.dispose();
    socket.destroy();
  }
}
