import { nearestName } from '../../shared/nearest';
import { KNOWN_FAMILIES } from './families';

/** A kind of models that is not supported. */
export interface UnknownKind {
  /** "a recurrent model" */
  readonly what: string;
  /** What to use instead, and what of these models is missing here. */
  readonly fix: string;
}

interface KindRow {
  readonly types: RegExp;
  readonly what: string;
  /** The nearest architecture that is known. */
  readonly nearest: string;
  /** The part that it lacks, as the subject of "is missing here". */
  readonly missing: string;
  /** Besides the nearest architecture. */
  readonly instead?: string;
}

/** By model_type; the first one counts. */
const KINDS: readonly KindRow[] = [
  {
    types: /^(?:falcon_h1|bamba|nemotron_h|zamba|jamba|granitemoehybrid|plamo2)/,
    what: 'a model of attention beside a state-space model',
    nearest: 'qwen3_5_text',
    missing: 'the state-space scan (Mamba)',
  },
  {
    types: /mamba/,
    what: 'a recurrent model',
    nearest: 'qwen3_5_text',
    missing: 'the state-space scan (Mamba)',
  },
  {
    types: /rwkv|^recurrent_gemma|^xlstm/,
    what: 'a recurrent model',
    nearest: 'qwen3_5_text',
    missing: 'its recurrence over tokens',
  },
  {
    types: /^phi4(?:mm|_multimodal)/,
    what: 'a model for images, speech and text',
    nearest: 'phi3',
    missing: 'the encoder of speech, with the adapters that the model has of its own',
  },
  {
    types: /^deepseek(?:_v)?[23]/,
    what: 'a mixture of experts',
    nearest: 'qwen3_moe',
    missing: 'multi-head latent attention, with the router over groups of experts,',
    instead: 'a dense model of the same series',
  },
  {
    types: /^glm4_?moe/,
    what: 'a mixture of experts',
    nearest: 'qwen3_moe',
    missing: 'the router with sigmoid scores, with experts that all tokens use,',
    instead: 'a dense model of the same series',
  },
  {
    types: /^nemotron$/,
    what: 'a decoder with LayerNorm',
    nearest: 'llama',
    missing: 'the squared ReLU, with norms that add 1 to their weights,',
  },
  {
    types: /moe|mixtral|dbrx|^llama4/,
    what: 'a mixture of experts',
    nearest: 'qwen3_moe',
    missing: 'the router of this one',
    instead: 'a dense model of the same series',
  },
  {
    types: /^whisper/,
    what: 'an encoder-decoder',
    nearest: 't5',
    missing: 'the encoder of speech',
  },
  {
    types:
      /^(?:t5|mt5|umt5|bart|mbart|pegasus|marian|m2m_100|blenderbot|led|encoder-decoder|speech)/,
    what: 'an encoder-decoder',
    nearest: 't5',
    missing: 'the layers of this one',
    instead: 'a decoder such as Qwen, Llama or SmolLM2',
  },
];

/** Null where nothing but the name is known of a model. */
export function unknownKind(model_type: string): UnknownKind | null {
  const found = KINDS.find(({ types }) => types.test(model_type));
  if (!found) return null;
  const { what, nearest, missing, instead } = found;
  const model = `a model of the nearest known architecture, "${nearest}"`;
  const use = instead === undefined ? model : `${instead}, or ${model}`;
  return { what, fix: `Use ${use}: ${missing} is missing here.` };
}

/** A suggestion in place of an architecture whose layers are unknown. */
export function nearestFix(model_type: string): string {
  const [series = ''] = model_type.split(/[_-]/);
  const nearest =
    nearestName(model_type, KNOWN_FAMILIES) ??
    KNOWN_FAMILIES.find((known) => series.length > 2 && known.startsWith(series));
  if (nearest === undefined) return 'Use a model of a supported architecture.';
  return `What its layers compute is not known here. The nearest known architecture is "${nearest}": use a model of that one.`;
}
