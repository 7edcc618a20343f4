/**
 * Every text of the page on which adapters are tried, in English; the host sends them in the user's
 * language. {0}, {1} stand for values.
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
  'prompt.hint': 'Ctrl+Enter or Cmd+Enter asks.',
  recent: 'Prompts asked before',
  'recent.choose': 'Prompts asked before…',
  system: 'System message',
  'system.hint': 'As in the rows it was trained on; empty: none',
  chat: 'As a chat message',
  'chat.hint': 'Through the chat template of the base',
  temperature: 'Temperature',
  'temperature.hint': '0: always the likeliest token',
  seed: 'Seed',
  max_new_tokens: 'At most tokens',
  ask: 'Answer',
  stop: 'Stop',
  addAdapter: 'Add Adapter…',
  copyMarkdown: 'Copy as Markdown',

  answers: 'Answers',
  base: 'Base model',
  scale: 'Scale',
  'scale.words': '{0} times s·BA',
  remove: 'Take {0} out',
  waiting: 'waits',
  writing: 'writes…',
  facts: '{0} tokens, {1} tokens/s',
  stopped: 'stopped after {0} tokens',
  empty: 'The answer appears here.',
  nothing: '(nothing)',
  same: 'the same as the base',
  marks: 'Marked: words that the base does not say there.',
} as const;

export type PlaygroundStringKey = keyof typeof PLAYGROUND_STRINGS;

export type PlaygroundStrings = Readonly<Record<PlaygroundStringKey, string>>;
