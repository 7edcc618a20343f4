import { escapeRegExp } from '../../../shared/values';
import type { AnswerForm, CallForm, ReasoningForm, ToolCall } from './form';
import { knownForms } from './knownForms';
import { isBlank } from './pattern';
import { readCalls } from './readCalls';

/** The parts of an answer. */
export interface ParsedAnswer {
  /** '' without any. */
  readonly reasoning: string;
  /** The text beside the calls. */
  readonly content: string;
  readonly calls: readonly ToolCall[];
  /** Whether a call begins that cannot be read: its JSON is wrong or not finished. */
  readonly isFaulty: boolean;
}

/**
 * Takes an answer apart: reasoning, text, calls.
 *
 * @param text With its special tokens, without the one that ends it.
 * @param form How its template writes answers.
 * @param tools The tools that it may call, for the types of their parameters.
 */
export function parseAnswer(text: string, form: AnswerForm, tools?: unknown): ParsedAnswer {
  const { reasoning, rest } = splitReasoning(text, form.reasoning);
  for (const calls of callForms(form.calls)) {
    const read = readCalls(rest, calls, tools);
    if (!read) continue;
    const content = [read.before, read.behind].map((part) => textOf(part, form)).join('\n');
    return { reasoning, content: content.trim(), calls: read.calls, isFaulty: read.isFaulty };
  }
  return { reasoning, content: textOf(rest, form), calls: [], isFaulty: false };
}

/** The same for an answer that may call nothing: what looks like a call is text. */
export function parseText(
  text: string,
  form: AnswerForm,
): Pick<ParsedAnswer, 'reasoning' | 'content'> {
  const { reasoning, rest } = splitReasoning(text, form.reasoning);
  return { reasoning, content: textOf(rest, form) };
}

/** The forms that calls may have: that of the template, else those that are known. */
export function callForms(own: CallForm | null): readonly CallForm[] {
  const { marked, bare, tagged } = knownForms;
  if (own === null) return [...marked, ...bare];
  return isBlank(own.start) ? [tagged, own] : [own];
}

const textOf = (text: string, { contentOpen }: AnswerForm): string => {
  const own = text.trim();
  return contentOpen !== '' && own.startsWith(contentOpen)
    ? own.slice(contentOpen.length).trim()
    : own;
};

/** A tag that opens or closes reasoning, for templates that write none of their own. */
const OPEN = /^\s*(?:<think(?:ing)?>|\[THINK\])/i;
const CLOSE = /(?:<\/think(?:ing)?>|\[\/THINK\])/i;

function splitReasoning(
  text: string,
  form: ReasoningForm | null,
): { readonly reasoning: string; readonly rest: string } {
  const isOwn = form !== null && form.close.trim() !== '';
  const [open, close] = isOwn ? [openingOf(form.open), closingOf(form.close)] : [OPEN, CLOSE];
  const opened = open.exec(text);
  const body = opened ? text.slice(opened[0].length) : text;
  const closed = close.exec(body);
  if (closed)
    return {
      reasoning: body.slice(0, closed.index).trim(),
      rest: body.slice(closed.index + closed[0].length),
    };
  return opened ? { reasoning: body.trim(), rest: '' } : { reasoning: '', rest: text };
}

/** A blank opening matches nothing: the prompt has written it. */
const openingOf = (open: string): RegExp =>
  open.trim() === '' ? /(?!)/ : new RegExp(`^\\s*${loosely(open)}`);

const closingOf = (close: string): RegExp => new RegExp(loosely(close));

const loosely = (text: string): string => text.trim().split(/\s+/).map(escapeRegExp).join('\\s*');
