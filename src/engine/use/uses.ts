import path from 'node:path';
import type { AdapterFormat } from '../../formats/adapterFormat';
import { familyOf } from '../../formats/architecture/families';
import type { BaseModel } from '../../formats/baseModel';
import { conversionLosses } from '../../formats/conversionLosses';
import type { Adapter } from '../../lora/adapter';
import type { CommandLine, LlamaOutput, UseTool } from '../../shared/useTools';
import { llamaServer } from './llamaCommands';
import { modelfileText } from './modelfile';

/** A sentence, and what to do. */
interface Refusal {
  readonly message: string;
  readonly fix: string;
}

/** Where things are when the commands are made. */
export interface Ready {
  readonly name: string;
  /** The base, or the merged model. */
  readonly model: string;
  /** Null: it is merged into the model. */
  readonly adapter: string | null;
  /** The folder that was named for the output. */
  readonly folder: string;
  /** The largest rank of the adapter. */
  readonly rank: number;
  readonly makes: LlamaOutput;
}

/** How one program uses an adapter. */
export interface Use {
  /** The format of adapters that it reads; any: as it is; null: only merged ones. */
  readonly format: AdapterFormat | 'any' | null;
  /** Why it can't use a base. */
  readonly refuses: (base: BaseModel) => Refusal | null;
  /** Why it can't use an adapter on its base, so that it must be merged. */
  readonly losses: (adapter: Adapter, base: BaseModel) => readonly string[];
  /** What models must make. Not given: text. */
  readonly outputs?: readonly LlamaOutput[];
  /** Folders between the named one and the merged model. */
  readonly inner?: (name: string) => string;
  /** A file beside the model, by its name. */
  readonly file?: (ready: Ready) => { readonly name: string; readonly text: string };
  readonly commands: (ready: Ready) => readonly CommandLine[];
  readonly notes: (ready: Ready) => readonly string[];
}

const nothing = () => null;
const none = () => [];

const needsGguf =
  (program: string) =>
  (base: BaseModel): Refusal | null =>
    base.format === 'gguf'
      ? null
      : {
          message: `${program} reads .gguf files, and the base is a Hugging Face folder.`,
          fix: "Choose the base as a .gguf file (--base), such as one that llama.cpp's convert_hf_to_gguf.py has made of it.",
        };

const needsFolder =
  (program: string) =>
  (base: BaseModel): Refusal | null =>
    base.format === 'safetensors'
      ? null
      : {
          message: `${program} reads Hugging Face folders, and the base is a .gguf file.`,
          fix: 'Choose the base as a folder (--base), or convert it to one (lora convert --to folder).',
        };

/** Neither vLLM nor mlx-lm has T5: merging an adapter does not help. */
const needsDecoder =
  (program: string) =>
  (base: BaseModel): Refusal | null =>
    base.spec.source
      ? {
          message: `${program} does not run encoder-decoders (${base.spec.family}).`,
          fix: 'Use the server of LoRA Workbench (--in server), or transformers.',
        }
      : needsFolder(program)(base);

/**
 * Architectures that Ollama computes with an engine of its own: "loras are not yet implemented" in
 * it. (OllamaEngineRequired in fs/ggml/ggml.go, loadModel in runner/ollamarunner/runner.go.)
 */
const WITHOUT_ADAPTERS: ReadonlySet<string> = new Set([
  'bert',
  'deepseek2',
  'gemma3',
  'gemma3n',
  'gemma4',
  'gpt-oss',
  'gptoss',
  'lfm2',
  'lfm2moe',
  'llama4',
  'mistral3',
  'mllama',
  'nomic-bert',
  'olmo3',
  'qwen25vl',
  'qwen3',
  'qwen35',
  'qwen35moe',
  'qwen3moe',
  'qwen3next',
  'qwen3vl',
]);

/** Folders that Ollama converts, by the architecture in config.json. (convert/convert.go.) */
const CONVERTED_BY_OLLAMA: ReadonlySet<unknown> = new Set([
  'LlamaForCausalLM',
  'MixtralForCausalLM',
  'GemmaForCausalLM',
  'Gemma2ForCausalLM',
  'Gemma3ForCausalLM',
  'Phi3ForCausalLM',
  'Qwen2ForCausalLM',
  'Olmo3ForCausalLM',
  'CohereForCausalLM',
]);

function refusedByOllama({ format, config }: BaseModel): Refusal | null {
  const { architectures } = config;
  const own: unknown = Array.isArray(architectures) ? architectures[0] : null;
  if (format === 'gguf' || CONVERTED_BY_OLLAMA.has(own)) return null;
  return {
    message: `Ollama does not convert folders of the architecture ${String(own)}.`,
    fix: "Choose the base as a .gguf file (--base), such as one that llama.cpp's convert_hf_to_gguf.py has made of it.",
  };
}

function lossesInOllama(adapter: Adapter, base: BaseModel): readonly string[] {
  const arch = familyOf(base.spec).gguf?.arch;
  const own =
    arch !== undefined && WITHOUT_ADAPTERS.has(arch)
      ? [
          `Ollama runs models of the architecture ${arch} in its own engine, which takes no adapters`,
        ]
      : [];
  return [...own, ...conversionLosses(adapter, base, 'gguf')];
}

/** The ranks that vLLM reserves memory for. (vLLM: MaxLoRARanks in vllm/config/lora.py.) */
const VLLM_RANKS = [8, 16, 32, 64, 128, 256, 320, 512] as const;

/** vLLM reads one rank and alpha, and neither rank_pattern nor alpha_pattern (peft_helper.py). */
function lossesInVllm({ modules, trained }: Adapter): readonly string[] {
  const [first] = modules;
  const rank = Math.max(0, ...modules.map((m) => m.r));
  const embedding = modules.find((m) => m.kind !== 'linear');
  const vision = modules.find((m) => m.path.startsWith('model.visual.'));
  return [
    ...(vision
      ? [`vLLM adapts the language model alone, and ${vision.path} belongs to the vision encoder`]
      : []),
    ...(trained.length > 0 ? [`vLLM has no place for trained tensors: ${trained[0]!.name}`] : []),
    ...(modules.some((m) => m.magnitude) ? ['vLLM does not support DoRA'] : []),
    ...(modules.some((m) => m.scaling !== first?.scaling)
      ? ['the modules have different scales, and vLLM reads only one']
      : []),
    ...(embedding ? [`vLLM adapts only linear layers, and ${embedding.path} is not one`] : []),
    ...(rank > VLLM_RANKS.at(-1)!
      ? [`vLLM takes ranks up to 512, and the adapter has ${rank}`]
      : []),
  ];
}

const vllmRank = (rank: number): string => String(VLLM_RANKS.find((own) => own >= rank));

const withAdapter = (flag: string, adapter: string | null): string[] =>
  adapter === null ? [] : [flag, adapter];

const LLAMA_NOTES: Readonly<Record<LlamaOutput, readonly string[]>> = {
  text: ['llama-cli takes the same options, to chat in the terminal.'],
  vectors: ['llama-embedding takes the same files, and prints the vectors of texts (-p).'],
  scores: ['Requests to /v1/rerank get the scores of documents.'],
};

const LM_STUDIO_PUBLISHER = 'lora-workbench';

export const USES: Readonly<Record<UseTool, Use>> = {
  ollama: {
    format: 'gguf',
    refuses: refusedByOllama,
    losses: lossesInOllama,
    file: ({ model, adapter, folder }) => ({
      name: 'Modelfile',
      text: modelfileText([
        ['FROM', within(folder, model)],
        ...(adapter === null ? [] : [['ADAPTER', within(folder, adapter)] as const]),
      ]),
    }),
    commands: ({ name, folder }) => [
      ['ollama', 'create', name, '-f', path.join(folder, 'Modelfile')],
      ['ollama', 'run', name],
    ],
    notes: ({ adapter }) =>
      adapter === null
        ? []
        : ['An adapter works only on the base that it was trained on, as it is in FROM.'],
  },
  'lm-studio': {
    format: null,
    refuses: needsGguf('LM Studio'),
    losses: () => ['LM Studio takes no adapters'],
    inner: (name) => path.join(LM_STUDIO_PUBLISHER, name),
    commands: ({ name }) => [['lms', 'load', `${LM_STUDIO_PUBLISHER}/${name}`]],
    notes: () => ['LM Studio lists it under My Models when it is opened again.'],
  },
  'llama.cpp': {
    format: 'gguf',
    refuses: needsGguf('llama.cpp'),
    losses: (adapter, base) => conversionLosses(adapter, base, 'gguf'),
    outputs: ['text', 'vectors', 'scores'],
    commands: (ready) => [llamaServer(ready.makes, ready)],
    notes: ({ makes }) => LLAMA_NOTES[makes],
  },
  vllm: {
    format: 'peft',
    refuses: needsDecoder('vLLM'),
    losses: lossesInVllm,
    commands: ({ name, model, adapter, rank }) => [
      adapter === null
        ? ['vllm', 'serve', model, '--served-model-name', name]
        : [
            ...(['vllm', 'serve', model, '--enable-lora'] as const),
            ...['--max-lora-rank', vllmRank(rank), '--lora-modules', `${name}=${adapter}`],
          ],
    ],
    notes: ({ name }) => [`Requests name the model ${name}.`],
  },
  mlx: {
    format: 'mlx',
    refuses: needsDecoder('mlx-lm'),
    losses: (adapter, base) => conversionLosses(adapter, base, 'mlx'),
    commands: ({ model, adapter }) => [
      ['mlx_lm.chat', '--model', model, ...withAdapter('--adapter-path', adapter)],
    ],
    notes: () => ['mlx_lm.server takes the same options.'],
  },
  server: {
    format: 'any',
    refuses: nothing,
    losses: none,
    outputs: ['text', 'vectors', 'scores'],
    commands: ({ model, adapter }) => [
      ['lora', 'serve', '--http', '--base', model, ...withAdapter('--adapter', adapter)],
    ],
    notes: none,
  },
};

/** A path for a file in `folder`: relative if it is in there, so that the folder can be moved. */
function within(folder: string, file: string): string {
  const relative = path.relative(folder, file);
  const isInside = relative !== '' && !relative.startsWith('..') && !path.isAbsolute(relative);
  return isInside ? `./${relative.split(path.sep).join('/')}` : file;
}
