import type { NamePair } from './unetNames';

/** More layers than any of the text encoders has: 12, 32 and 24. */
const LAYERS = 48;

const each = (names: (layer: number) => readonly string[]): string[] =>
  Array.from({ length: LAYERS }, (_, layer) => names(layer)).flat();

/** The linear layers of CLIP's text model as in transformers, without `text_model.`. */
export const clipNames = (): readonly string[] =>
  each((layer) => {
    const own = `encoder.layers.${layer}`;
    const attention = ['q_proj', 'k_proj', 'v_proj', 'out_proj'];
    return [
      ...attention.map((name) => `${own}.self_attn.${name}`),
      `${own}.mlp.fc1`,
      `${own}.mlp.fc2`,
    ];
  });

/** Those of OpenCLIP, whose q, k and v are one weight, and the rows that they have in it. */
export const openClipNames = (): readonly (readonly [string, readonly string[]])[] =>
  Array.from({ length: LAYERS }, (_, layer) => {
    const original = `transformer.resblocks.${layer}`;
    const own = `encoder.layers.${layer}`;
    const pairs: readonly NamePair[] = [
      ['attn.out_proj', 'self_attn.out_proj'],
      ['mlp.c_fc', 'mlp.fc1'],
      ['mlp.c_proj', 'mlp.fc2'],
    ];
    return [
      [
        `${original}.attn.in_proj`,
        ['q_proj', 'k_proj', 'v_proj'].map((name) => `${own}.self_attn.${name}`),
      ] as const,
      ...pairs.map(([a, b]) => [`${original}.${a}`, [`${own}.${b}`]] as const),
    ];
  }).flat();

/** The linear layers of T5's encoder. */
export const t5Names = (): readonly string[] =>
  each((layer) => {
    const own = `encoder.block.${layer}.layer`;
    return [
      ...['q', 'k', 'v', 'o'].map((name) => `${own}.0.SelfAttention.${name}`),
      ...['wi', 'wi_0', 'wi_1', 'wo'].map((name) => `${own}.1.DenseReluDense.${name}`),
    ];
  });
