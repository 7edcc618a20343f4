import { describe, expect, it } from 'vitest';
import { rowsAt, tokenConflict, tokenRowsOf, type TokenLayers } from '../../../src/lora/tokenRows';

const UNTIED: TokenLayers = {
  embedding: 'model.embed_tokens',
  output: 'lm_head',
  tied: false,
  vocab_size: 10,
};
const TIED = { ...UNTIED, tied: true };

describe('tokenRowsOf', () => {
  it('takes a list for the input embedding', () => {
    const layers = [{ path: 'model.embed_tokens', rows: [3, 1] }];
    expect(tokenRowsOf([3, 1], UNTIED)).toEqual({ layers });
    expect(tokenRowsOf([3, 1], TIED)).toEqual({ layers });
  });

  it('takes names for the ends of paths', () => {
    expect(tokenRowsOf({ embed_tokens: [1], lm_head: [2, 3] }, UNTIED)).toEqual({
      layers: [
        { path: 'model.embed_tokens', rows: [1] },
        { path: 'lm_head', rows: [2, 3] },
      ],
    });
    expect(tokenRowsOf({ lm_head: [2] }, UNTIED)).toEqual({
      layers: [{ path: 'lm_head', rows: [2] }],
    });
  });

  it('has no rows of their own for a tied output layer', () => {
    expect(tokenRowsOf({ 'model.embed_tokens': [1, 2], lm_head: [1, 2] }, TIED)).toEqual({
      layers: [{ path: 'model.embed_tokens', rows: [1, 2] }],
    });
  });

  it.each([
    [[10], UNTIED, /token 10, but model.embed_tokens has 10 rows \(0 to 9\)/],
    [{ q_proj: [1] }, UNTIED, /"q_proj".*\(model.embed_tokens, lm_head\)/],
    [{ '': [1] }, UNTIED, /""/],
    [{ lm_head: [1] }, { ...UNTIED, output: null }, /"lm_head".*\(model.embed_tokens\)/],
    [{ embed_tokens: [1], 'model.embed_tokens': [1] }, UNTIED, /names model.embed_tokens twice/],
    [{ embed_tokens: [1], lm_head: [2] }, TIED, /lm_head has the weight of model.embed_tokens/],
    [{ lm_head: [2] }, TIED, /lm_head has the weight of model.embed_tokens/],
  ])('refuses %j', (indices, layers, message) => {
    const result = tokenRowsOf(indices, layers);
    expect('fault' in result && result.fault).toMatch(message);
  });
});

it('rowsAt finds the tokens of a path', () => {
  expect(rowsAt([4], 'any')).toEqual([4]);
  expect(rowsAt({ embed_tokens: [4] }, 'model.embed_tokens')).toEqual([4]);
  expect(rowsAt({ embed_tokens: [4] }, 'lm_head')).toBeNull();
});

describe('tokenConflict', () => {
  const rows = [{ path: 'model.embed_tokens', rows: [1] }];
  const beside = (adapted: string[], saved: string[] = []) => ({ adapted, saved });

  it('is null for other layers', () => {
    expect(tokenConflict(rows, beside(['q_proj', 'lm_head'], ['norm']), UNTIED)).toBeNull();
  });

  it('names the layer that is adapted or trained whole, too', () => {
    expect(tokenConflict(rows, beside(['model.embed_tokens']), UNTIED)).toMatch(/LoRA on model/);
    expect(tokenConflict(rows, beside(['lm_head']), TIED)).toMatch(/LoRA on lm_head/);
    expect(tokenConflict(rows, beside([], ['lm_head']), TIED)).toMatch(
      /lm_head in modules_to_save/,
    );
  });
});
