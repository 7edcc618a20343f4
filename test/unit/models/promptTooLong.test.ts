import { describe, expect, it } from 'vitest';
import { ApiError } from '../../../src/engine/serve/http/apiError';
import { PromptTooLong, tokensAfter } from '../../../src/models/promptTooLong';

const decoder = {
  remainingPositions: (length: number) => 101 - length,
  bytesOf: (n: number) => 2 * n,
};

describe('a prompt', () => {
  it('may be followed by as many tokens as the model has positions for', () => {
    expect(tokensAfter(decoder, 40, { available: 1000 })).toBe(61);
  });

  it('is refused where its keys and values do not fit into memory', () => {
    const large = { ...decoder, bytesOf: (length: number) => length * 1e9 };
    expect(() => tokensAfter(large, 40, { available: 10e9 })).toThrow(
      'The prompt has 40 tokens, whose keys and values take 20.0 GB of memory, of which 10.0 GB are available.',
    );
  });

  it('needs no memory for the tokens that are known already', () => {
    const large = { ...decoder, bytesOf: (length: number) => length * 1e9 };
    expect(tokensAfter(large, 40, { known: 30, available: 10e9 })).toBe(61);
  });

  it('that is too long is answered in the shape of OpenAI', () => {
    const error = ApiError.from(new PromptTooLong(9000, 'the model has positions for 2048'));
    expect(error.status).toBe(400);
    expect(error.body).toEqual({
      error: {
        message: 'The prompt has 9000 tokens, the model has positions for 2048. Shorten it.',
        type: 'invalid_request_error',
        param: null,
        code: 'context_length_exceeded',
      },
    });
  });
});
