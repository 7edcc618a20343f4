import type { IncomingMessage } from 'node:http';
import { ApiError } from './apiError';

/** Bytes of a request's body. */
export const MAX_BODY_BYTES = 4 << 20;

/** The body of a request as text. @throws ApiError where it is no JSON in UTF-8, or too long. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  // also keeps web pages of other sites from sending what needs no permission of the server
  if (type !== 'application/json')
    throw new ApiError(415, 'The Content-Type must be application/json.');
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw new ApiError(415, 'The Content-Encoding is not supported.');
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new ApiError(400, 'The body is not valid UTF-8.');
  }
}

const tooLong = (): ApiError =>
  new ApiError(413, `The body is longer than ${MAX_BODY_BYTES / (1 << 20)} MiB.`);
