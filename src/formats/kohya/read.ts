import type { LoraFactors, TargetableModule } from '../../lora/adapter';
import { LoraError, type Problem } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { factorsOf, matrixOf, peftAdapter, type ImportedAdapter } from '../importedAdapter';
import { withSafetensors, type SafetensorsFile } from '../safetensors/read';
import { flat, guessedPath, withoutPrefix } from './names';

const LEAF = /^(.+)\.(lora_down\.weight|lora_up\.weight|alpha)$/;
/** What such files hold beside LoRA, which is another formula. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/\.dora_scale$/, 'DoRA'],
  [/\.hada_/, 'LoHa'],
  [/\.lokr_/, 'LoKr'],
  [/\.lora_mid\.weight$/, 'a Tucker decomposition'],
  [/\.(?:oft_|boft_)/, 'OFT'],
  [/\.(?:diff|diff_b|set_weight)$/, 'whole differences'],
  [/\.[wb]_norm$/, 'changes of norms'],
  [/\.(?:a1|a2|b1|b2|bm)\.weight$/, 'GLoRA'],
  [/\.on_input$/, '(IA)³'],
  [/\.bias_(?:indices|values|size)$/, 'changes of biases'],
  [/\.(?:lora_(?:up|down|A|B)|diff)\.bias$/, 'LoRA with a bias'],
  [/\.scalar$/, 'a trained scale'],
  [/\.reshape_weight$/, 'a change of shape'],
];

/** Algorithms of LyCORIS that are LoRA. */
const LORA_ALGORITHMS: ReadonlySet<string> = new Set(['lora', 'locon']);

/** What is known of the base that the names are of. */
export interface KohyaBase {
  readonly modules: readonly TargetableModule[];
  /** A module's path in the base for one that is older. */
  readonly rename: (path: string) => string;
}

/**
 * An adapter of kohya's scripts: one file, each module with its alpha. Without a base the paths are
 * guessed, as the names have underscores for points. Errors: LoraError('adapter') naming file and
 * tensor.
 */
export function readKohyaAdapter(file: string, base: KohyaBase | null): Promise<ImportedAdapter> {
  return withSafetensors(file, async (source) => {
    refuseOtherAlgorithms(source);
    const { names, warnings } = namesIn(source);
    const modules: LoraFactors[] = [];
    for (const name of names) modules.push(await readModule(source, name, base));
    if (modules.length === 0)
      throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file } });
    const bare = names.filter((name) => !source.tensors.has(`${name}.alpha`)).length;
    const alphas: Problem[] =
      bare === 0
        ? []
        : [
            {
              severity: 'warning',
              message: `${bare} of ${names.length} modules have no alpha. It is assumed to be their rank, which makes their scale 1.`,
              place: { file },
            },
          ];
    return { adapter: peftAdapter(modules, null), warnings: [...warnings, ...alphas] };
  });
}

/** @throws LoraError('adapter') when the file's metadata names another algorithm than LoRA. */
function refuseOtherAlgorithms({ file, header: { metadata } }: SafetensorsFile): void {
  const options = argumentsIn(metadata['ss_network_args']);
  const algorithm = options['algo'];
  const isOther =
    typeof algorithm === 'string' && !LORA_ALGORITHMS.has(algorithm.trim().toLowerCase());
  const module = /\.(oft|lokr|loha|control_net_lllite)\w*$/.exec(
    metadata['ss_network_module'] ?? '',
  )?.[1];
  const name = isOther ? algorithm : module;
  if (name === undefined) return;
  throw new LoraError('adapter', `The file holds ${name}, which is not supported.`, {
    place: { file, key: isOther ? 'ss_network_args' : 'ss_network_module' },
    fix: 'Merge it into its base with the tool that made it.',
  });
}

/** A JSON object in the metadata; empty when it is none. */
function argumentsIn(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function namesIn(source: SafetensorsFile): {
  readonly names: readonly string[];
  readonly warnings: readonly Problem[];
} {
  const names = new Set<string>();
  const warnings: Problem[] = [];
  for (const tensor of source.tensors.keys()) {
    const place = { file: source.file, tensor };
    const other = OTHERS.find(([expression]) => expression.test(tensor));
    if (other)
      throw new LoraError('adapter', `The file holds ${other[1]}, which is not supported.`, {
        place,
        fix: 'Merge it into its base with the tool that made it.',
      });
    const [, name] = LEAF.exec(tensor) ?? [];
    if (name !== undefined) names.add(name);
    else
      warnings.push({
        severity: 'warning',
        message: 'The tensor is not part of a LoRA adapter and is ignored.',
        place,
      });
  }
  return { names: [...names], warnings };
}

async function readModule(
  source: SafetensorsFile,
  name: string,
  base: KohyaBase | null,
): Promise<LoraFactors> {
  const read = async (leaf: string) => {
    const tensor = `${name}.${leaf}.weight`;
    const stored = source.tensors.get(tensor);
    if (!stored)
      throw new LoraError(
        'adapter',
        `Its partner is missing: ${name} needs both lora_down and lora_up.`,
        { place: { file: source.file, tensor } },
      );
    return {
      shape: stored.shape,
      data: await source.readF32(tensor),
      place: { file: source.file, tensor },
    };
  };
  const [down, up] = [await read('lora_down'), await read('lora_up')];
  const kernel = kernelOf(down.shape, up.shape);
  const [A, B] = [down, up].map(({ shape, data, place }) =>
    matrixOf(data, kernel ? [shape[0]!, shape.slice(1).reduce((n, d) => n * d, 1)] : shape, place),
  ) as [ReturnType<typeof matrixOf>, ReturnType<typeof matrixOf>];
  const path = pathOf(name, base, source.file);
  return factorsOf({
    path,
    kind: kernel ? 'conv2d' : 'linear',
    A,
    B,
    scaling: (await alphaOf(source, name, A.rows)) / A.rows,
    ...(kernel && { kernel }),
  });
}

function kernelOf(
  down: readonly number[],
  up: readonly number[],
): readonly [number, number] | undefined {
  return down.length === 4 && up.length === 4 && up[2] === 1 && up[3] === 1
    ? [down[2]!, down[3]!]
    : undefined;
}

async function alphaOf(source: SafetensorsFile, name: string, rank: number): Promise<number> {
  const tensor = `${name}.alpha`;
  if (!source.tensors.has(tensor)) return rank;
  const values = await source.readF32(tensor);
  // 0 stands for the rank in kohya's scripts
  if (values.length === 1 && Number.isFinite(values[0])) return values[0] === 0 ? rank : values[0]!;
  throw new LoraError(
    'adapter',
    `alpha must be one number, but ${values.length === 1 ? `it is ${values[0]!}` : `there are ${values.length}`}.`,
    { place: { file: source.file, tensor } },
  );
}

function pathOf(name: string, base: KohyaBase | null, file: string): string {
  const own = withoutPrefix(name);
  const guess = guessedPath(own);
  if (!base) return guess;
  const known =
    base.modules.find(({ path }) => flat(path) === own) ??
    base.modules.find(({ path }) => path === base.rename(guess));
  if (known) return known.path;
  throw new LoraError('adapter', `The adapter changes ${guess}, which the base does not have.`, {
    place: { file, tensor: `${name}.lora_down.weight` },
    fix: 'Use the base that the adapter was trained on.',
  });
}
