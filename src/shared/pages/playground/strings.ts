/**
 * All texts of the playground, in English; the host translates them. {0}, {1} are replaced by
 * values.
 */
export const PLAYGROUND_STRINGS = {
  loading: 'Opening the playground…',
  none: '–',
  title: 'Try adapters on {0}',
  'phase.loading': 'Loading the model, {0}',
  'phase.ready': 'Ready, on {0}',
  'phase.failed': 'The model could not be loaded',
  reload: 'Try Again',

  prompt: 'Prompt',
  'prompt.hint': 'Press Ctrl+Enter or Cmd+Enter to answer.',
  recent: 'Recent prompts',
  'recent.choose': 'Recent prompts…',
  row: 'Row {0} of {1} (line {2})',
  'row.hint': 'Validation rows of the run, in the format used for training',
  'row.previous': 'Previous row',
  'row.next': 'Next row',
  'row.leave': 'Ask without the row',
  'row.changed': 'The dataset has changed since the run.',
  'row.before': 'What the model reads before the prompt',
  'row.loading': 'Reading the rows of the run…',
  expected: 'Expected answer',
  exact: 'exact match',
  system: 'System message',
  'system.hint': 'The one used in training; empty for none',
  chat: 'As a chat message',
  'chat.hint': 'Uses the chat template of the base model',
  temperature: 'Temperature',
  'temperature.hint': '0 always takes the most likely token',
  seed: 'Seed',
  max_new_tokens: 'Maximum tokens',
  ask: 'Answer',
  stop: 'Stop',
  addAdapter: 'Add Adapter…',
  copyMarkdown: 'Copy as Markdown',

  answers: 'Answers',
  base: 'Base model',
  scale: 'Scale',
  'scale.words': '{0} times s·BA',
  remove: 'Remove {0}',
  waiting: 'waiting',
  writing: 'writing…',
  facts: '{0} {0|token|tokens}, {1} tokens/s',
  stopped: 'stopped after {0} {0|token|tokens}',
  empty: 'The answer appears here.',
  nothing: '(nothing)',
  same: 'same as the base model',
  marks: 'Highlighted: words that differ from the base model’s answer.',
} as const;

export type PlaygroundStringKey = keyof typeof PLAYGROUND_STRINGS;

export type PlaygroundStrings = Readonly<Record<PlaygroundStringKey, string>>;
