import { answerForm } from '../../../data/chat/calls/learnForm';
import { callForms } from '../../../data/chat/calls/parseAnswer';
import type { ToolCall } from '../../../data/chat/calls/form';
import type { ChatVariables } from '../../../data/chat/chat';
import { settledText } from '../../../data/tokenizer/settledText';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { partsOf, textPartsOf } from '../../model/answer';

/** An answer so far, as far as further tokens cannot change it. */
export interface AnswerView {
  readonly content: string;
  readonly reasoning: string;
  /** Those of a finished answer. */
  readonly calls: readonly ToolCall[];
}

/** What the tokens of an answer say. */
export interface AnswerReader {
  /** Their text, markers included. */
  readonly decode: (ids: readonly number[]) => string;
  /** What the text says. `isEnd`: no more tokens come. */
  readonly view: (text: string, isEnd: boolean) => AnswerView;
}

/** The text of a completion. */
export const textReader = (tokenizer: Tokenizer): AnswerReader => ({
  decode: (ids) => tokenizer.decode(ids, true),
  view: (text, isEnd) => ({
    content: isEnd ? text : settledText(tokenizer, text),
    reasoning: '',
    calls: [],
  }),
});

/** The text around reasoning where templates write none of their own. */
const REASONING_MARKERS: readonly string[] = [
  '<think>',
  '</think>',
  '<thinking>',
  '</thinking>',
  '[THINK]',
  '[/THINK]',
];

/** The answer of a chat: its text, its reasoning and its first calls of tools. */
export function chatReader(
  tokenizer: Tokenizer,
  variables: ChatVariables,
  mostCalls: number,
): AnswerReader {
  const mayCall = mostCalls > 0;
  const form = answerForm(tokenizer, variables);
  const starts = mayCall ? callForms(form.calls).map(({ start }) => (start[0] ?? '').trim()) : [];
  const { open = '', close = '' } = form.reasoning ?? {};
  const markers = [...REASONING_MARKERS, open.trim(), close.trim(), ...starts].filter(
    (own) => own !== '',
  );
  /** The prompt has opened the reasoning, so that all is reasoning until it closes. */
  const isOpened = form.reasoning !== null && open.trim() === '' && close.trim() !== '';
  const view: AnswerReader['view'] = (text, isEnd) => {
    if (isEnd) return finished(tokenizer, text, { variables, mostCalls });
    const raw = settledText(tokenizer, text);
    if (isOpened && !raw.includes(close.trim())) return NOTHING;
    if (mayCall && isBareJson(raw)) return NOTHING;
    const at = Math.min(...starts.filter((own) => own !== '').map((own) => indexOr(raw, own)));
    const before = withoutStart(at === Infinity ? raw : raw.slice(0, at), markers);
    return { ...textPartsOf(tokenizer, before, variables), calls: [] };
  };
  return { decode: (ids) => tokenizer.decode(ids, false), view };
}

const NOTHING: AnswerView = { content: '', reasoning: '', calls: [] };

function finished(
  tokenizer: Tokenizer,
  raw: string,
  { variables, mostCalls }: { readonly variables: ChatVariables; readonly mostCalls: number },
): AnswerView {
  const text = { ...textPartsOf(tokenizer, raw, variables), calls: [] };
  if (mostCalls === 0) return text;
  const parts = partsOf(tokenizer, raw, variables);
  // a call that cannot be read stays text
  return parts.isFaulty ? text : { ...parts, calls: parts.calls.slice(0, mostCalls) };
}

/** Some templates write calls as nothing but JSON. */
const isBareJson = (raw: string): boolean => /^\s*(?:<[^>]*>\s*)*[[{]/.test(raw);

const indexOr = (text: string, part: string): number =>
  text.includes(part) ? text.indexOf(part) : Infinity;

/** Without what may be the beginning of one of these texts. */
export function withoutStart(text: string, markers: readonly string[]): string {
  const longest = Math.max(0, ...markers.map((marker) => startLength(text, marker)));
  return text.slice(0, text.length - longest);
}

/** How many characters at the end of the text begin the marker. */
function startLength(text: string, marker: string): number {
  for (let length = Math.min(text.length, marker.length - 1); length > 0; length--)
    if (marker.startsWith(text.slice(text.length - length))) return length;
  return 0;
}
