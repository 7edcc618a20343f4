import * as v from 'valibot';
import { parseExactly } from './exactJson';
import { asPlainObject } from './exactValues';
import { parsed } from './parsed';
import { described } from './schemaParts';
import { isObject } from './values';

/** What chat_template_kwargs may hold: an object, or its JSON as text. */
export type TemplateVariables = Readonly<Record<string, unknown>> | string;

/** The variables themselves, as Python reads them. Undefined: the text is no JSON object. */
export function variablesIn(given: TemplateVariables): Record<string, unknown> | undefined {
  if (typeof given !== 'string') return given;
  try {
    const value = asPlainObject(parseExactly(given));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * chat_template_kwargs. Text keeps what JSON would lose where it is written and read again: 1.0 is
 * not 1 for a template that prints it.
 */
export const TemplateVariablesSchema = described(
  // not v.record, which takes lists and drops keys such as "constructor"
  v.custom<TemplateVariables>(
    (given) => isObject(given) || (typeof given === 'string' && variablesIn(given) !== undefined),
    'must be an object',
  ),
  'Further variables for the chat template, such as {"enable_thinking": false}. The column of the ' +
    'same name in a row overrides them.',
);

/** The chat_template_kwargs of a run's record; undefined if there are none. */
export const asTemplateVariables = parsed(TemplateVariablesSchema);
