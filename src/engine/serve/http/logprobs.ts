import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import type { TokenChance } from '../../../models/sampling/tokenChances';
import type { TokenChances } from '../batchScheduler';

/**
 * A token whose log-probability is returned. The first one of a prompt that is echoed has none, as
 * nothing stands before it.
 */
export type ToldToken =
  TokenChances | { readonly chosen: { readonly id: number; readonly logprob: null } };

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
export const chatLogprobs = (tokenizer: Tokenizer, places: readonly ToldToken[]): object => ({
  content: places.flatMap((own) =>
    'top' in own
      ? {
          ...tokenOf(tokenizer, own.chosen),
          top_logprobs: own.top.map((one) => tokenOf(tokenizer, one)),
        }
      : [],
  ),
  refusal: null,
});

/**
 * Log-probabilities as a text completion tells them.
 *
 * @param offset Of the first token in the text of the answer.
 */
export function textLogprobs(
  tokenizer: Tokenizer,
  places: readonly ToldToken[],
  offset: number,
): object {
  const textOf = ({ id }: { readonly id: number }) => tokenizer.decode([id], false);
  const tokens = places.map(({ chosen }) => textOf(chosen));
  let at = offset;
  return {
    tokens,
    token_logprobs: places.map((own) => ('top' in own ? logprobOf(own.chosen) : null)),
    top_logprobs: places.map((own) =>
      'top' in own ? Object.fromEntries(own.top.map((one) => [textOf(one), logprobOf(one)])) : null,
    ),
    text_offset: tokens.map((token) => {
      at += token.length;
      return at - token.length;
    }),
  };
}
