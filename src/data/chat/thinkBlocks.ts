import { contentOf, type AnswerSpan, type Message } from './chat';
import { commonPrefix, PLACEHOLDER, type ProbedChat } from './probedChat';
import { reasoningOf } from './reasoning';

/** A tag around reasoning, as templates write it. */
const THINK = /[<[{|]+\/?\w*think\w*[^\s>\]}]*[>\]}|]+/i;
const BLOCK = /<think(?:ing)?>([\s\S]*?)<\/think(?:ing)?>/i;

/** The reasoning that a message holds in its text. */
export const inlineThought = (message: Message): string =>
  (BLOCK.exec(contentOf(message))?.[1] ?? '').trim();

/** The text of an answer after its think block. */
export const withoutThought = (message: Message): string =>
  contentOf(message)
    .split(/<\/think(?:ing)?>/i)
    .at(-1)!
    .trim();

/**
 * Says where the prompt that asks for an answer has a think block and the text that is learned has
 * none, or the other way round. Null: they are alike.
 */
export function thinkFinding(
  probed: ProbedChat,
  { turn, start, body_end }: AnswerSpan,
): string | null {
  const { text, messages } = probed;
  const message = messages[turn]!;
  const prompt = probed.before(turn, true);
  if (prompt === null) return null;
  if (text.startsWith(prompt)) {
    if (reasoningOf(message)?.trim() || inlineThought(message) !== '') return null;
    const written = THINK.exec(text.slice(start, body_end));
    const isOwn = written === null || contentOf(message).includes(written[0]);
    return isOwn
      ? null
      : `The chat template puts ${JSON.stringify(written[0])} in front of an answer without reasoning, but not into the generation prompt: the model learns to write it.`;
  }
  const asked = prompt.slice(commonPrefix(prompt, probed.before(turn, false) ?? ''));
  const tag = THINK.exec(asked);
  if (tag === null) return null;
  const from = asked.slice(tag.index).trimEnd();
  return text.slice(0, start).trimEnd().endsWith(from)
    ? null
    : `The generation prompt ends with ${JSON.stringify(from)}, but the text that is learned has no such think block there${remedyFor(probed, turn)}.`;
}

/** A setting that makes the prompt and the text equal, as found by trying. */
function remedyFor(probed: ProbedChat, turn: number): string {
  const remedies = [
    ...(isAlike(probed.withMessage(turn, WITH_REASONING), turn)
      ? ['give the answers "reasoning_content"']
      : []),
    ...(isAlike(probed.withVariables(NO_THINKING), turn)
      ? ['set chat_template_kwargs to {"enable_thinking": false}']
      : []),
  ];
  return remedies.length > 0
    ? `: ${remedies.join(', or ')}`
    : ', nor with "reasoning_content" or without "enable_thinking"';
}

const WITH_REASONING = { reasoning_content: PLACEHOLDER };
const NO_THINKING = { enable_thinking: false };

/** Whether the text continues where the prompt that asks for an answer ends. */
function isAlike(probed: ProbedChat | null, turn: number): boolean {
  const prompt = probed?.before(turn, true) ?? null;
  return prompt !== null && probed!.text.startsWith(prompt);
}
