/** How the next token is chosen. */
export interface SamplingSettings {
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly seed: number;
  /** As many of the most likely tokens are left; 0: all. */
  readonly top_k?: number;
  /** The most likely tokens are left whose probabilities add up to this; 1: all. */
  readonly top_p?: number;
  /** Tokens are left that are at least so likely, as a share of the most likely one; 0: all. */
  readonly min_p?: number;
  /** Makes tokens less likely that the text has already; 1: no change. */
  readonly repetition_penalty?: number;
  /** Taken from a token's score once for each time that it was written; 0: no change. */
  readonly frequency_penalty?: number;
  /** Taken from the scores of all tokens that were written; 0: no change. */
  readonly presence_penalty?: number;
}

/** The text so far. */
export interface TextSoFar {
  readonly prompt: readonly number[];
  /** The tokens after it. */
  readonly written: readonly number[];
}

/** Whether tokens have other scores than the model's for being in the text. */
export const isPenalized = ({
  repetition_penalty = 1,
  frequency_penalty = 0,
  presence_penalty = 0,
}: SamplingSettings): boolean =>
  repetition_penalty !== 1 || frequency_penalty !== 0 || presence_penalty !== 0;

/** Whether unlikely tokens are never chosen. */
export const leavesOut = ({ top_k = 0, top_p = 1, min_p = 0 }: SamplingSettings): boolean =>
  top_k > 0 || top_p < 1 || min_p > 0;
