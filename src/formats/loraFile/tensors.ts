import type { LoraFactors } from '../../lora/adapter';

/** The factors of LoHa and LoKr; t: a Tucker core. */
export type LycorisPart =
  | `hada_w${1 | 2}_${'a' | 'b'}`
  | `hada_t${1 | 2}`
  | `lokr_w${1 | 2}`
  | `lokr_w${1 | 2}_${'a' | 'b'}`
  | `lokr_t${1 | 2}`;

/** The role of a tensor in its module: a factor, a Tucker core, DoRA's magnitudes, or alpha. */
export type Part = 'A' | 'B' | 'mid' | 'magnitude' | 'alpha' | LycorisPart;

/** A tensor of a LoRA file. */
export interface LoraTensor {
  /** A dotted path, or a name with underscores for dots as in kohya's files. */
  readonly module: string;
  readonly part: Part;
}

/** The ends of tensors' names, from the longest on. */
const ENDS: readonly (readonly [RegExp, (found: string) => Part])[] = [
  [/\.(?:lora_magnitude_vector(?:\.[^.]+)*|dora_scale)$/, () => 'magnitude'],
  // PEFT, Diffusers and ai-toolkit; a model's own state_dict has the adapter's name in between
  [/\.lora_([AB])(?:\.[^.]+)?(?:\.weight)?$/, (factor) => factor as 'A' | 'B'],
  [/\.lora_(down|up)\.weight$/, factorOf], // kohya
  [/\.lora_mid\.weight$/, () => 'mid'],
  [/\.(hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t[12]))$/, (own) => own as LycorisPart],
  [/\.lora_linear_layer\.(down|up)\.weight$/, factorOf], // Diffusers before PEFT, text encoders
  [/\.lora\.(down|up)\.weight$/, factorOf], // Diffusers before PEFT
  [/(?<=\.processor\.(?:qkv|proj)_lora[12]?)\.(down|up)\.weight$/, factorOf], // XLabs
  [/_lora\.(down|up)\.weight$/, factorOf], // Diffusers' first attention processors
  [/(?:\.lora_linear_layer|\.lora|_lora)?\.alpha$/, () => 'alpha'],
];

function factorOf(found: string): Part {
  return found === 'down' ? 'A' : 'B';
}

/** What a tensor is, by its name; null: no part of a LoRA adapter. */
export function loraTensor(name: string): LoraTensor | null {
  if (/\.lora_[AB](?:\.[^.]+)?\.bias$/.test(name)) return null;
  for (const [end, partOf] of ENDS) {
    const found = end.exec(name);
    if (found && found.index > 0)
      return { module: modulePath(name.slice(0, found.index)), part: partOf(found[1] ?? '') };
  }
  return null;
}

/** What Diffusers' first text encoders called the projections of CLIP. */
const PROJECTIONS: Readonly<Record<string, string>> = {
  to_q: 'q_proj',
  to_k: 'k_proj',
  to_v: 'v_proj',
  to_out: 'out_proj',
};

/** A module's path without what PEFT, torch.compile or attention processors put into it. */
function modulePath(name: string): string {
  const isProcessor = name.includes('.processor.');
  const path = name
    .replace(/^(?:base_model\.model\.)+/, '')
    .replaceAll('._orig_mod', '')
    .replace(/^_orig_mod\./, '')
    .replace('.processor.', '.');
  if (/^text_encoder(?:_\d)?\./.test(path))
    return path.replace(/\.(to_(?:q|k|v|out))$/, (_, own: string) => `.${PROJECTIONS[own]!}`);
  return isProcessor ? path.replace(/\.to_out$/, '.to_out.0') : path;
}

/** What such files hold beside LoRA, which is another formula. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/\.hada_(?!(?:w[12]_[ab]|t[12])$)/, 'another kind of LoHa'],
  [/\.lokr_(?!(?:w[12](?:_[ab])?|t[12])$)/, 'another kind of LoKr'],
  [/\.(?:oft_|boft_)|\.rescale$/, 'OFT'],
  [/^bundle_emb\.|^(?:emb_params|clip_[lg])$|\.string_to_param\./, 'a trained embedding of a text'],
  [/^(?:lllite_|control_net_lllite|control_model\.)/, 'a ControlNet'],
  [/\.lora_(?:route|moe)/, 'several adapters with a router'],
  [/\.(?:diff|diff_b|set_weight)$/, 'whole differences'],
  [/\.[wb]_norm$/, 'changes of norms'],
  [/\.glora_|\.(?:a1|a2|b1|b2|bm)\.weight$/, 'GLoRA'],
  [/\.on_input$/, '(IA)³'],
  [/\.bias_(?:indices|values|size)$/, 'changes of biases'],
  [/\.(?:lora_(?:up|down|[AB])(?:\.[^.]+)?|lora\.(?:up|down)|diff)\.bias$/, 'LoRA with a bias'],
  [/\.scalar$/, 'a trained scale'],
  [/\.lora_embedding_[AB](?:\.[^.]+)*$/, 'an adapted embedding'],
  [/\.modules_to_save\./, 'whole modules'],
  [/\.(?:lora_E|ranknum)(?:\.[^.]+)*$/, 'AdaLoRA'],
  [/\.lora_C(?:\.[^.]+)*$/, 'a matrix between A and B'],
  [/\.lora_diag(?:\.[^.]+)*$/, 'KaSA'],
  [/\.vera_/, 'VeRA'],
  [/\.ia3_l(?:\.[^.]+)*$/, '(IA)³'],
  [/\.trainable_tokens_/, 'trainable tokens'],
  [/\.reshape_weight$/, 'a change of shape'],
];

/** The method of a tensor that is not LoRA; null: not known. */
export const otherMethod = (name: string): string | null =>
  OTHERS.find(([expression]) => expression.test(name))?.[1] ?? null;

/** The first of tensors that are not LoRA, and its method; null: there is none. */
export function foreignTensor(
  names: Iterable<string>,
): { readonly tensor: string; readonly method: string } | null {
  for (const tensor of names) {
    const method = otherMethod(tensor);
    if (method !== null) return { tensor, method };
  }
  return null;
}

/** Whether tensors' names are those of kohya's scripts: modules have underscores for dots. */
export const hasKohyaNames = (names: Iterable<string>): boolean =>
  [...names].some((name) => /^[^.]+\.(?:lora_(?:down|up|mid)\.weight|hada_|lokr_)/.test(name));

/** Whether modules have dotted names, but factors those of kohya's scripts. */
export const hasDottedNames = (names: Iterable<string>): boolean =>
  [...names].some((name) => /^[^.]+\..+\.lora_down\.weight$/.test(name));

/** Whether tensors' names are those of a LoRA file of any kind. */
export const hasLoraNames = (names: Iterable<string>): boolean =>
  [...names].some((name) => {
    const part = loraTensor(name)?.part;
    return part === 'A' || part === 'B' || /\.(?:hada_|lokr_|lora_mid\.weight$)/.test(name);
  });

/** Height and width of a convolution's kernel, by the shapes of A and B. */
export function kernelOf(
  down: readonly number[],
  up: readonly number[],
): LoraFactors['kernel'] | undefined {
  return down.length === 4 && up.length === 4 && up[2] === 1 && up[3] === 1
    ? [down[2]!, down[3]!]
    : undefined;
}
