import { describe, expect, it } from 'vitest';
import { configText } from '../../../src/engine/merge/configText';

describe('the text of a merged config.json', () => {
  it("has the base's numbers as they are spelled there", () => {
    const given =
      '{"initializer_factor": 1.0, "eps": 1e-05, "sizes": [8, 8.0, {"x": 2.50}], "vision_config": {"dropout": 0.0}, "big": 12345678901234567890, "n": 4}';
    const config = JSON.parse(given) as Record<string, unknown>;
    const text = configText({ ...config, n: 5, dtype: 'float32' }, given);
    expect(text.replace(/\s+/g, ' ')).toBe(
      '{ "initializer_factor": 1.0, "eps": 1e-05, "sizes": [ 8, 8.0, { "x": 2.50 } ], "vision_config": { "dropout": 0.0 }, "big": 12345678901234567890, "n": 5, "dtype": "float32" } ',
    );
  });

  it('has a decimal point in settings that transformers takes as floats only', () => {
    const config = { final_logit_softcapping: 30, attn_logit_softcapping: 0.5, hidden_size: 8 };
    expect(configText(config, null)).toBe(
      '{\n  "final_logit_softcapping": 30.0,\n  "attn_logit_softcapping": 0.5,\n  "hidden_size": 8\n}\n',
    );
  });

  it('is otherwise as JavaScript writes it', () => {
    const config = {
      a: '\u00000',
      rope_theta: 1,
      b: '"\\u00000"',
      c: null,
      d: [],
      e: {},
      f: [{ g: [true] }],
    };
    const text = configText(config, null);
    expect(JSON.parse(text)).toEqual(config);
    const plain = JSON.stringify(config, null, 2);
    expect(text).toBe(`${plain.replace('"rope_theta": 1', '"rope_theta": 1.0')}\n`);
  });
});
