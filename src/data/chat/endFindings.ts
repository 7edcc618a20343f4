import type { Span } from './chat';
import type { AnswerEnds } from './answerEnds';

const LEARNS = 'so a model does not learn there to stop';

/**
 * Says which answers have no end token after them.
 *
 * @param answers Those that are learned, in order.
 * @param isMarked Whether {% generation %} blocks say what is learned.
 */
export function endFindings(
  answers: readonly Span[],
  text: string,
  { tokens }: AnswerEnds,
  isMarked: boolean,
): string[] {
  const isOpen = answers.map(({ start, end }) => {
    const answer = text.slice(start, end).trimEnd();
    return !tokens.some((token) => answer.endsWith(token));
  });
  const open = isOpen.filter(Boolean).length;
  if (open === 0) return [];
  if (isMarked)
    return [`A {% generation %} block of the chat template leaves out the end token, ${LEARNS}.`];
  if (open === isOpen.length && open > 1)
    return [`The chat template writes no end token after the answers, ${LEARNS}.`];
  return isOpen.at(-1) === true
    ? [`The chat template writes no end token after the last answer, ${LEARNS}.`]
    : [`The chat template writes no end token after answers before the last, ${LEARNS}.`];
}
