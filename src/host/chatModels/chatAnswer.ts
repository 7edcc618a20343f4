import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { t } from '../text/l10n';

/** A part of an answer. */
export type AnswerPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'call'; readonly id: string; readonly name: string; readonly input: object };

/** The parts that an event of a streamed chat adds. Reasoning is not part of the answer. */
export function partsOfEvent(event: Readonly<Record<string, unknown>>): readonly AnswerPart[] {
  const [choice] = Array.isArray(event['choices']) ? (event['choices'] as unknown[]) : [];
  const delta = isObject(choice) ? choice['delta'] : undefined;
  if (!isObject(delta)) return [];
  const { content, tool_calls } = delta;
  const text =
    typeof content === 'string' && content !== '' ? [{ kind: 'text' as const, text: content }] : [];
  return [...text, ...(Array.isArray(tool_calls) ? tool_calls.map(callOf) : [])];
}

/** The server sends calls as a whole. */
function callOf(given: unknown): AnswerPart {
  const { id, function: own } = isObject(given) ? given : {};
  const { name, arguments: text } = isObject(own) ? own : {};
  const input: unknown = typeof text === 'string' ? JSON.parse(text) : undefined;
  if (typeof id === 'string' && typeof name === 'string' && isObject(input))
    return { kind: 'call', id, name, input };
  throw new LoraError('engine', t('The model process ended unexpectedly.'));
}
