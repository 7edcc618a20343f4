import * as v from 'valibot';
import { parsed } from '../../shared/parsed';
import { isObject } from '../../shared/values';
import { withoutSecrets } from '../../shared/withoutSecrets';
import type { EndpointAddress } from './columns';
import type { CheckedAnswer } from './checkAnswer';

/** Why an endpoint has not answered, for the user. */
export class EndpointError extends Error {}

/** An OpenAI-compatible server, and how long it is waited for. */
export interface EndpointClient extends Pick<EndpointAddress, 'url' | 'model'> {
  /** Sent as a bearer token; null: none. It is in no message. */
  readonly key: string | null;
  /** Milliseconds for a whole answer. */
  readonly timeout: number;
}

/** A request to an endpoint. */
export interface EndpointRequest {
  /** A text is continued; messages are answered. */
  readonly prompt: string | readonly object[];
  readonly tools: readonly object[] | null;
  readonly max_new_tokens: number;
  readonly temperature: number;
  readonly seed: number;
}

const MOST_BYTES = 4 * 2 ** 20;
const MOST_REASON = 300;

const CallSchema = v.object({
  function: v.object({ name: v.string(), arguments: v.optional(v.string(), '{}') }),
});
const asCompletion = parsed(v.object({ choices: v.tupleWithRest([v.unknown()], v.unknown()) }));
const asText = parsed(v.object({ text: v.string() }));
const asMessage = parsed(
  v.object({
    message: v.object({
      content: v.optional(v.nullable(v.string())),
      tool_calls: v.optional(v.nullable(v.array(CallSchema))),
    }),
  }),
);

/** The answer of an endpoint. @throws EndpointError */
export async function askEndpoint(
  client: EndpointClient,
  request: EndpointRequest,
  signal?: AbortSignal,
): Promise<CheckedAnswer> {
  const { prompt, tools, max_new_tokens, temperature, seed } = request;
  const isText = typeof prompt === 'string';
  const body = {
    model: client.model,
    ...(isText ? { prompt } : { messages: prompt }),
    ...(tools && { tools }),
    max_tokens: max_new_tokens,
    temperature,
    seed,
  };
  const answer = await post(client, isText ? '/completions' : '/chat/completions', {
    body,
    signal,
  });
  const choice = asCompletion(answer)?.choices[0];
  if (isText) return { content: notMissing(asText(choice)).text, calls: [], isFaulty: false };
  return answerOf(notMissing(asMessage(choice)).message);
}

function notMissing<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new EndpointError("The endpoint sent no answer in OpenAI's format.");
}

function answerOf({
  content,
  tool_calls,
}: NonNullable<ReturnType<typeof asMessage>>['message']): CheckedAnswer {
  const calls = (tool_calls ?? []).map(({ function: own }) => ({
    name: own.name,
    arguments: argumentsOf(own.arguments),
  }));
  const readable = calls.flatMap(({ name, arguments: value }) =>
    value === null ? [] : [{ name, arguments: value }],
  );
  return { content: content ?? '', calls: readable, isFaulty: readable.length < calls.length };
}

function argumentsOf(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

interface Posted {
  readonly body: object;
  readonly signal: AbortSignal | undefined;
}

async function post(
  { url, key, timeout }: EndpointClient,
  route: string,
  { body, signal }: Posted,
): Promise<unknown> {
  const limit = AbortSignal.timeout(timeout);
  try {
    const response = await fetch(`${url}${route}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(key !== null && { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify(body),
      // a key must not follow to another place
      redirect: 'error',
      signal: signal ? AbortSignal.any([limit, signal]) : limit,
    });
    const text = await readBounded(response);
    if (!response.ok) throw new EndpointError(refusal(response.status, text, key));
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof EndpointError) throw error;
    if (limit.aborted)
      throw new EndpointError(`The endpoint has not answered within ${timeout / 1000} seconds.`);
    if (error instanceof SyntaxError) throw new EndpointError('The endpoint sent no JSON.');
    throw new EndpointError(`The endpoint cannot be reached: ${causeOf(error)}.`);
  }
}

/** fetch says "fetch failed"; its cause says why. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const { code, message } = isObject(cause) ? cause : {};
  const reason = cause instanceof Error ? cause.message : message;
  return String(code ?? reason ?? (error instanceof Error ? error.message : error));
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of response.body ?? []) {
    total += (chunk as Uint8Array).length;
    if (total > MOST_BYTES) throw new EndpointError('The answer of the endpoint is too long.');
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What a refusal says, without the key, which some servers repeat. */
function refusal(status: number, text: string, key: string | null): string {
  // a part of the key would stay behind if the text were cut first
  const reason = withoutSecrets(reasonIn(text), key === null ? [] : [key]);
  const shown = reason.slice(0, MOST_REASON).trim();
  return `The endpoint refuses (status ${status})${shown === '' ? '' : `: ${shown}`}`;
}

function reasonIn(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    const error = isObject(value) ? (value['error'] ?? value['message']) : undefined;
    const message = isObject(error) ? error['message'] : error;
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}
