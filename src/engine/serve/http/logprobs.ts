import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import type { TokenChance } from '../../../models/sampling';
import type { TokenChances } from '../batchScheduler';

/** No log-probability is below this in OpenAI's answers: JSON has no -Infinity. */
const LEAST = -9999;

const logprobOf = ({ logprob }: TokenChance): number => Math.max(LEAST, logprob);

/** A token as text; its bytes are not known where it is a part of a character. */
function tokenOf(tokenizer: Tokenizer, chance: TokenChance): object {
  const token = tokenizer.decode([chance.id], false);
  const bytes = token.includes('\ufffd') ? null : [...Buffer.from(token)];
  return { token, logprob: logprobOf(chance), bytes };
}

/** Log-probabilities as a chat completion tells them. */
export const chatLogprobs = (tokenizer: Tokenizer, places: readonly TokenChances[]): object => ({
  content: places.map(({ chosen, top }) => ({
    ...tokenOf(tokenizer, chosen),
    top_logprobs: top.map((own) => tokenOf(tokenizer, own)),
  })),
  refusal: null,
});

/**
 * Log-probabilities as a text completion tells them.
 *
 * @param offset Of the first token in the text of the answer.
 */
export function textLogprobs(
  tokenizer: Tokenizer,
  places: readonly TokenChances[],
  offset: number,
): object {
  const textOf = ({ id }: TokenChance) => tokenizer.decode([id], false);
  const tokens = places.map(({ chosen }) => textOf(chosen));
  let at = offset;
  return {
    tokens,
    token_logprobs: places.map(({ chosen }) => logprobOf(chosen)),
    top_logprobs: places.map(({ top }) =>
      Object.fromEntries(top.map((own) => [textOf(own), logprobOf(own)])),
    ),
    text_offset: tokens.map((token) => {
      at += token.length;
      return at - token.length;
    }),
  };
}
