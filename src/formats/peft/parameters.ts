import { scalingOf, type AdapterConfig } from '../../lora/adapter';
import { expertModules, targetsParameters, type ExpertParameter } from '../../lora/experts';
import { countOf } from '../../shared/values';
import { checkScale } from '../checkFinite';
import type { AdapterBase } from './againstBase';
import { finite, misfit, ownValue, pairOf, type FactorNames, type ReadFactors } from './factors';
import type { AdapterWeights } from './files';

// target_parameters: LoRA on parameters of a mixture's experts and router, which are no layers.

/** Whether an entry of target_parameters names a parameter that is read. */
export const isKnownParameter = (name: unknown): boolean =>
  typeof name === 'string' &&
  /(?:^|\.)(?:gate_up_proj|down_proj|(?:gate|router)\.weight)$/.test(name);

/** A parameter, and the module that has it. */
interface Parameter {
  readonly module: string;
  readonly name: ExpertParameter | 'weight';
}

/**
 * The parameter that the factors of a module are for; null: they are the module's own. PEFT nests
 * the two parameters of experts, whichever is listed first.
 */
export function parameterOf(
  path: string,
  paths: Pick<ReadonlyMap<string, unknown>, 'has'>,
  config: AdapterConfig,
): Parameter | null {
  if (!targetsParameters({ config })) return null;
  const entries = (config.raw['target_parameters'] as readonly unknown[]).map(String);
  const isNamed = (parameter: string) =>
    entries.some((own) => own === parameter || parameter.endsWith(`.${own}`));
  if (isNamed(`${path}.weight`)) return { module: path, name: 'weight' };
  const [, module, inner] = /^(.+\.experts)(\.base_layer)?$/.exec(path) ?? [];
  if (module === undefined) return null;
  if (inner !== undefined) return { module, name: 'gate_up_proj' };
  const isBoth = paths.has(`${path}.base_layer`);
  return {
    module,
    name: isBoth || !isNamed(`${path}.gate_up_proj`) ? 'down_proj' : 'gate_up_proj',
  };
}

/**
 * Reads the factors of a parameter of all experts, as a module for each of them.
 *
 * @throws LoraError('adapter') naming file and tensor.
 */
export async function readExpertFactors(
  { module, parameter }: { readonly module: string; readonly parameter: ExpertParameter },
  names: FactorNames,
  { config, base }: { readonly config: AdapterConfig; readonly base: AdapterBase | undefined },
  source: AdapterWeights,
): Promise<ReadFactors[]> {
  const path = `${module}.${parameter}`;
  const pair = pairOf(path, names, source);
  const [rows = 0, in_features = 0] = source.tensors.get(pair.A)!.shape;
  const { shape } = source.tensors.get(pair.B)!;
  const r = ownValue('rank_pattern', config, path, names);
  const num_experts = rows / r;
  const ends = `.${parameter}`;
  const wanted = base?.modules.filter(
    (m) => m.path.startsWith(`${module}.`) && m.path.endsWith(ends),
  );
  const isWhole = Number.isInteger(num_experts) && num_experts > 0;
  if (!isWhole || shape.length !== 2 || shape[1] !== rows || pair.magnitude !== undefined)
    throw misfit(`The factors of ${path} are not those of experts of rank ${r}.`, source, pair.A);
  if (wanted && wanted.length !== num_experts)
    throw misfit(
      `The adapter has ${countOf(num_experts, 'expert')} in ${module}, the base ${wanted.length}.`,
      source,
      pair.A,
    );
  const lora_alpha = ownValue('alpha_pattern', config, path, names);
  const place = { file: source.fileOf(pair.A), tensor: pair.A };
  const modules = expertModules({
    module,
    parameter,
    num_experts,
    r,
    in_features,
    out_features: shape[0]!,
    scaling: checkScale(scalingOf(r, lora_alpha, config.use_rslora), path, place),
    A: await finite(source, pair.A),
    B: await finite(source, pair.B),
  });
  return modules.map((factors) => ({ factors, lora_alpha }));
}
