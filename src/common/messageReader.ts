import { StreamMessageReader } from 'vscode-jsonrpc/node';

/**
 * Reads JSON-RPC messages from a stream. Left to itself, the library's reader reports every ten
 * seconds that a message has arrived only in part, even when its stream has ended: that timer would
 * keep a process alive whose connection was cut within a message.
 */
export function messageReader(stream: NodeJS.ReadableStream): StreamMessageReader {
  const reader = new StreamMessageReader(stream);
  reader.partialMessageTimeout = 0;
  return reader;
}
