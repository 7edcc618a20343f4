import http, { type IncomingMessage } from 'node:http';
import { LineSplitter } from '../../common/lineSplitter';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { t } from '../text/l10n';
import type { Endpoint } from './modelServer';

/** A request to a server of OpenAI's API whose answer is streamed. */
export interface StreamRequest {
  readonly endpoint: Endpoint;
  readonly path: '/chat/completions' | '/completions';
  readonly body: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  /** Called with each event, and no more once the signal is aborted. */
  readonly onEvent: (event: Readonly<Record<string, unknown>>) => void;
}

/** The most bytes of one event, and of an error. */
const MAX_EVENT_BYTES = 8 * 2 ** 20;

/**
 * Sends a request, until its answer has ended. An aborted signal closes the connection, which frees
 * the place of the request on the server.
 *
 * @throws LoraError with the server's sentence; 'cancelled' for the signal.
 */
export async function streamRequest(request: StreamRequest): Promise<void> {
  const { signal } = request;
  try {
    const response = await respond(request);
    if (response.statusCode !== 200) throw serverError(await textOf(response));
    await readEvents(response, request);
    signal.throwIfAborted();
  } catch (error) {
    if (signal.aborted) throw new LoraError('cancelled', t('The request was cancelled.'));
    throw error instanceof LoraError
      ? error
      : new LoraError('engine', t('The model process ended unexpectedly.'), { cause: error });
  }
}

function respond({ endpoint, path, body, signal }: StreamRequest): Promise<IncomingMessage> {
  const text = JSON.stringify({ ...body, model: endpoint.model, stream: true });
  return new Promise((resolve, reject) => {
    const request = http.request(`${endpoint.url}${path}`, {
      method: 'POST',
      signal,
      headers: {
        authorization: `Bearer ${endpoint.token}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
      },
    });
    request.once('response', resolve).once('error', reject).end(text);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8'))
    if (text.length < MAX_EVENT_BYTES) text += String(chunk);
  return text;
}

/** Events that came together with the one at which the request was cancelled are dropped. */
async function readEvents(
  response: IncomingMessage,
  { signal, onEvent }: StreamRequest,
): Promise<void> {
  const state = { isWhole: false };
  const lines = new LineSplitter((line) => {
    const data = /^data: ?(.*)$/s.exec(line?.toString('utf8') ?? '')?.[1];
    if (signal.aborted) return;
    if (data === '[DONE]') state.isWhole = true;
    else if (data !== undefined) onEvent(eventIn(data));
  }, MAX_EVENT_BYTES);
  for await (const chunk of response) lines.push(chunk as Buffer);
  if (!state.isWhole) throw new LoraError('engine', t('The model process ended unexpectedly.'));
}

/** @throws LoraError for an event that is an error. */
function eventIn(data: string): Readonly<Record<string, unknown>> {
  const event = parsed(data);
  if (event['error'] !== undefined) throw serverError(data);
  return event;
}

function serverError(text: string): LoraError {
  const { error } = parsed(text);
  const message = isObject(error) ? error['message'] : undefined;
  return new LoraError(
    'engine',
    typeof message === 'string' && message !== ''
      ? message
      : t('The model process ended unexpectedly.'),
  );
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
