import { LoraError } from '../../shared/errors';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { answerEnds, type AnswerEnds } from './answerEnds';
import { otherCall } from './otherCall';
import { contentOf, type AnswerSpan, type Chat, type Message, type Span } from './chat';
import { endFindings } from './endFindings';
import { leftOut } from './leftOut';
import { PLACEHOLDER, ProbedChat } from './probedChat';
import { reasoningOf } from './reasoning';
import { thinkFinding } from './thinkBlocks';

export interface MarkedChat {
  readonly text: string;
  /**
   * What is learned: the assistant's answer in each of its turns, with the end token that stands
   * after it, but not the white space after that.
   */
  readonly answers: readonly Span[];
  /** Answers that are marked as not to be learned. */
  readonly unlearnt: readonly Span[];
  /** Warnings about the text, for the user. */
  readonly findings: readonly string[];
}

/**
 * Renders a chat and finds the assistant's answers in the text. A template with {% generation %}
 * blocks marks them itself. Otherwise an answer starts where its prompt ends (the messages before
 * it, rendered with the generation prompt) and ends after its end token. Where it stands is found
 * by rendering the chat with another answer in its place.
 *
 * @throws LoraError('tokenizer') when the template refuses the messages, or when the answers cannot
 *   be found in its text.
 */
export function markAnswers(chat: Chat, tokenizer: Tokenizer): MarkedChat {
  const probed = new ProbedChat(chat, tokenizer);
  const { text, generated, messages } = probed;
  const isLearnt = ({ turn }: { readonly turn: number }) => messages[turn]!.weight !== 0;
  const findings = leftOut(probed, chat.variables);
  if (generated) {
    const marked = generated.filter((span) => span.end > span.start);
    const unlearnt = messages.some(({ weight }) => weight === 0)
      ? findAnswers(probed).filter((answer) => !isLearnt(answer))
      : [];
    const isInside = (span: Span) =>
      unlearnt.some(({ start, body_end }) => span.start < body_end && start < span.end);
    return {
      text,
      answers: marked.filter((span) => !isInside(span)),
      unlearnt: [...marked.filter(isInside), ...unlearnt].sort((a, b) => a.start - b.start),
      findings: [
        ...findings,
        ...endFindings(marked, text, answerEnds(tokenizer, chat.variables), true),
      ],
    };
  }
  const found = findAnswers(probed);
  const answers = found.filter((answer) => isLearnt(answer) && answer.end > answer.start);
  const think = answers.map((answer) => thinkFinding(probed, answer));
  return {
    text,
    answers,
    unlearnt: found.filter((answer) => !isLearnt(answer)),
    findings: [
      ...findings,
      ...new Set(think.filter((finding) => finding !== null)),
      ...endFindings(answers, text, answerEnds(tokenizer, chat.variables), false),
    ],
  };
}

function findAnswers(probed: ProbedChat): AnswerSpan[] {
  const ends = answerEnds(probed.tokenizer, probed.variables);
  const answers: AnswerSpan[] = [];
  for (const [turn, { role }] of probed.messages.entries())
    if (role === 'assistant')
      answers.push(findAnswer(probed, turn, answers.at(-1)?.end ?? 0, ends));
  return answers;
}

/** @param from Where the answer before this one ends. */
function findAnswer(probed: ProbedChat, turn: number, from: number, ends: AnswerEnds): AnswerSpan {
  const { text } = probed;
  const prompt = probed.before(turn, true);
  const promptEnd =
    prompt !== null && prompt.length >= from && text.startsWith(prompt) ? prompt.length : null;
  const direct = promptEnd === null ? null : directBody(probed, turn, promptEnd);
  const directEnd = direct && endBehind(text, direct.end, ends);
  if (direct && directEnd !== null)
    return { ...direct, turn, body_end: direct.end, end: directEnd };
  const body = differingBody(probed, turn, ends);
  const start = Math.min(promptEnd ?? startOfToken(body.start, probed), body.end);
  if (body.start < from || start < from) throw answersNotFound();
  return { turn, start, body_end: body.end, end: endBehind(text, body.end, ends) ?? body.end };
}

/** An answer that stands in the text as it is in the row, right after its prompt. */
function directBody({ text, messages }: ProbedChat, turn: number, start: number): Span | null {
  const message = messages[turn]!;
  if (message.tool_calls || reasoningOf(message) !== undefined) return null;
  const content = contentOf(message);
  const at = start + text.slice(start).search(/\S|$/);
  const body = content.trim();
  if (!text.startsWith(body, at)) return null;
  const tail = content.slice(content.trimEnd().length);
  const end = at + body.length;
  return { start, end: text.startsWith(tail, end) ? end + tail.length : end };
}

/**
 * Where the text changes with the answer. Tool calls are replaced together with the text; if what
 * follows depends on them, they are replaced by other calls instead.
 */
function differingBody(probed: ProbedChat, turn: number, ends: AnswerEnds): Span {
  const { text, messages } = probed;
  const message = messages[turn]!;
  const whole = probed.replaced(turn, { role: 'assistant', content: PLACEHOLDER });
  const isAlone = whole?.split(PLACEHOLDER).length === 2;
  if (isAlone) {
    const body = probed.difference(whole);
    const behind = whole.length - whole.indexOf(PLACEHOLDER) - PLACEHOLDER.length;
    if (text.length - body.end === behind) return body;
  }
  const limit = startOfNext(probed, turn);
  const other = probed.replaced(turn, withPlaceholders(message));
  if (!other?.includes(PLACEHOLDER)) throw answersNotFound();
  const { start, end } = probed.difference(other);
  return end <= limit && start < end
    ? { start, end: endOfClosers(text, end, limit, ends) }
    : { start, end: lastEnd(text.slice(0, limit), start, ends) };
}

/** Every text of an answer as a placeholder, in the same form. */
function withPlaceholders(message: Message): Message {
  const reasoning = reasoningOf(message) === undefined ? {} : { reasoning_content: PLACEHOLDER };
  return {
    ...message,
    ...reasoning,
    ...(reasoningOf(message) !== undefined && { thinking: PLACEHOLDER }),
    ...(contentOf(message).trim() !== '' && { content: PLACEHOLDER }),
    ...(message.tool_calls && { tool_calls: message.tool_calls.map(otherCall) }),
  };
}

/** Where the text of the next message begins that the template writes. */
function startOfNext(probed: ProbedChat, turn: number): number {
  for (let next = turn + 1; next < probed.messages.length; next++) {
    const message = probed.messages[next]!;
    const other = probed.replaced(next, { ...message, content: PLACEHOLDER });
    if (other?.includes(PLACEHOLDER)) return probed.difference(other).start;
  }
  return probed.text.length;
}

/** After what closes a tool call, up to the end token before a limit. */
function endOfClosers(text: string, end: number, limit: number, ends: AnswerEnds): number {
  const found = ends.tokens.map((token) => text.indexOf(token, end)).filter((at) => at >= end);
  const first = Math.min(...found);
  return first < limit ? first : end;
}

/** After the last end token of a text. */
function lastEnd(text: string, start: number, ends: AnswerEnds): number {
  const last = Math.max(-1, ...ends.tokens.map((token) => text.lastIndexOf(token)));
  if (last < start) throw answersNotFound();
  return last;
}

/** After the end token that follows, with nothing but white space between. Null: none follows. */
function endBehind(text: string, from: number, { tokens, closing }: AnswerEnds): number | null {
  const spaced = (at: number) => at + text.slice(at).search(/\S|$/);
  const first = spaced(from);
  const at =
    closing !== '' && text.startsWith(closing, first) ? spaced(first + closing.length) : first;
  const token = tokens.find((end) => text.startsWith(end, at));
  return token === undefined ? null : at + token.length;
}

/** An offset moved to the start of the added token that spans it. */
function startOfToken(offset: number, { text, tokenizer }: ProbedChat): number {
  for (const token of tokenizer.added_tokens.keys()) {
    const at = text.lastIndexOf(token, offset - 1);
    if (at >= 0 && at < offset && at + token.length > offset) return at;
  }
  return offset;
}

function answersNotFound(): LoraError {
  return new LoraError(
    'tokenizer',
    "The chat template does not show where the assistant's answers stand in the text.",
    {
      fix: 'Give the rows as prompt and completion, or set "labels" to "all".',
    },
  );
}
