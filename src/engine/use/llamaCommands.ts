import type { BaseModel } from '../../formats/baseModel';
import type { CommandLine, LlamaOutput } from '../../shared/useTools';

/** Null: nothing that its programs have, such as labels of tokens. */
export function llamaOutputOf({
  spec: { task, causal },
}: Pick<BaseModel, 'spec'>): LlamaOutput | null {
  if (task === 'causal_lm' || task === 'seq2seq_lm') return 'text';
  if (task === 'embedding') return 'vectors';
  return task === 'seq_cls' && !causal ? 'scores' : null;
}

const FLAGS: Readonly<Record<LlamaOutput, readonly string[]>> = {
  text: [],
  vectors: ['--embedding'],
  scores: ['--reranking'],
};

/** The files of a model and of an adapter on it; null: it is merged into the model. */
export interface LlamaFiles {
  readonly model: string;
  readonly adapter: string | null;
}

const filesOf = ({ model, adapter }: LlamaFiles): readonly string[] => [
  '-m',
  model,
  ...(adapter === null ? [] : ['--lora', adapter]),
];

/** How a server of llama.cpp is started. */
export const llamaServer = (output: LlamaOutput, files: LlamaFiles): CommandLine => [
  'llama-server',
  ...filesOf(files),
  ...FLAGS[output],
];

/** How a program of llama.cpp is started in a terminal; null: there is none for scores. */
export function llamaProgram(output: LlamaOutput, files: LlamaFiles): CommandLine | null {
  if (output === 'scores') return null;
  const program = output === 'text' ? 'llama-cli' : 'llama-embedding';
  return [program, ...filesOf(files)];
}
