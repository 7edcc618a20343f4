import { LoraError } from './errors';
import { nearestName } from './nearest';
import { isObject } from './values';

// The tools of chat agents in VS Code and of clients of `lora mcp`. Both read this table;
// package.json repeats it, and a test compares them.

/** A text that a tool takes. */
interface ToolText {
  readonly type: 'string';
  readonly description: string;
  /** The texts that are allowed; by default any. */
  readonly enum?: readonly string[];
}

/** A tool: what a language model reads about it, and what it takes. */
export interface AgentTool {
  readonly name: string;
  /** For people. */
  readonly title: string;
  readonly description: string;
  readonly inputSchema: {
    readonly type: 'object';
    readonly properties: Readonly<Record<string, ToolText>>;
    readonly required?: readonly string[];
  };
  /** It changes nothing. */
  readonly readOnly: boolean;
}

const RUN: ToolText = {
  type: 'string',
  description: 'Id or name of a run, as returned by lora_list_runs.',
};

export const AGENT_TOOLS = {
  listRuns: {
    name: 'lora_list_runs',
    title: 'List LoRA Runs',
    description:
      'Lists the LoRA training runs of the workspace, newest first: id, name, state, step, rank, training loss, best validation loss, tags.',
    inputSchema: { type: 'object', properties: {} },
    readOnly: true,
  },
  explainRun: {
    name: 'lora_explain_run',
    title: 'Explain LoRA Run',
    description:
      'Describes one LoRA training run: recipe, data, loss curve, best step, device, and the error if it failed.',
    inputSchema: { type: 'object', properties: { run: RUN }, required: ['run'] },
    readOnly: true,
  },
  compareAdapters: {
    name: 'lora_compare_adapters',
    title: 'Compare LoRA Adapters',
    description:
      'Compares the adapters of two LoRA training runs: norms and cosine of their updates, settings that differ, modules that differ most.',
    inputSchema: { type: 'object', properties: { a: RUN, b: RUN }, required: ['a', 'b'] },
    readOnly: true,
  },
  evaluateAdapter: {
    name: 'lora_evaluate_adapter',
    title: 'Evaluate LoRA Adapter',
    description:
      'Computes the loss and, for text, the perplexity of the adapter of a run, or of its base model alone, on a dataset file of the workspace. Loads the model: this may take minutes.',
    inputSchema: {
      type: 'object',
      properties: {
        run: RUN,
        dataset: {
          type: 'string',
          description: 'Path of the dataset, relative to the workspace.',
        },
        model: {
          type: 'string',
          enum: ['adapter', 'base'],
          description: 'adapter (default): the base model with the adapter; base: without it.',
        },
      },
      required: ['run', 'dataset'],
    },
    readOnly: true,
  },
  startRecipe: {
    name: 'lora_start_recipe',
    title: 'Start LoRA Recipe',
    description:
      'Starts a LoRA training run of a recipe file (lora.json) of the workspace. While another run is active, it is queued by VS Code; elsewhere it is not started, and the answer says so. The user is asked to confirm.',
    inputSchema: {
      type: 'object',
      properties: {
        recipe: {
          type: 'string',
          description: 'Path of the recipe, relative to the workspace.',
        },
        when: {
          type: 'string',
          enum: ['queue', 'now'],
          description:
            'queue (default): wait while another run is active; now: train beside it, which makes both slower.',
        },
      },
      required: ['recipe'],
    },
    readOnly: false,
  },
} as const satisfies Readonly<Record<string, AgentTool>>;

export type AgentToolName = (typeof AGENT_TOOLS)[keyof typeof AGENT_TOOLS]['name'];

/** The tool of a name; undefined: there is none. */
export const agentTool = (name: string): AgentTool | undefined =>
  Object.values(AGENT_TOOLS).find((tool) => tool.name === name);

/** A text with more characters is no path and no name. */
const MAX_CHARACTERS = 4_096;

/**
 * The arguments of a tool call, by the names in its schema.
 *
 * @throws LoraError('usage') that names what is missing, unknown or of another kind.
 */
export function toolInput(tool: AgentTool, given: unknown): Readonly<Record<string, string>> {
  const { properties, required = [] } = tool.inputSchema;
  const input = given ?? {};
  if (!isObject(input)) throw refusal(tool, 'needs an object');
  for (const [key, value] of Object.entries(input)) {
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (!property) throw refusal(tool, unknownText(key, Object.keys(properties)));
    if (typeof value !== 'string') throw refusal(tool, `needs a text as "${key}"`);
    if (value === '' || value.length > MAX_CHARACTERS)
      throw refusal(tool, `needs 1 to ${MAX_CHARACTERS} characters as "${key}"`);
    if (property.enum && !property.enum.includes(value))
      throw refusal(tool, `needs ${property.enum.join(' or ')} as "${key}"`);
  }
  const missing = required.find((key) => !Object.hasOwn(input, key));
  if (missing !== undefined) throw refusal(tool, `needs "${missing}"`);
  return input as Readonly<Record<string, string>>;
}

const refusal = ({ name }: AgentTool, problem: string): LoraError =>
  new LoraError('usage', `${name} ${problem}.`);

function unknownText(key: string, known: readonly string[]): string {
  const nearest = nearestName(key.slice(0, 100), known);
  const shown = JSON.stringify(key.slice(0, 100));
  return `has no input ${shown}${nearest === undefined ? '' : ` (did you mean "${nearest}"?)`}`;
}
