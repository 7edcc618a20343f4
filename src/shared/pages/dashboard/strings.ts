import type { KeyNumberId, SeriesId } from '../../metrics/table';
import { CHART_STRINGS, STATE_STRINGS } from '../chartStrings';

/**
 * All texts of the dashboard, in English; the host translates them. {0}, {1} are replaced by
 * values.
 */
export const DASHBOARD_STRINGS = {
  ...CHART_STRINGS,
  ...STATE_STRINGS,

  loading: 'Loading the run…',

  'phase.starting': 'Starting the engine…',
  'phase.preparing': 'Preparing the training…',
  'phase.reading data': 'Reading the data',
  'phase.loading model': 'Loading the model',
  'phase.reference': 'Measuring the answers with the model before training',
  'phase.training': 'Training',
  'phase.evaluating': 'Evaluating on the validation set',
  'phase.sampling': 'Writing sample completions',
  'phase.saving': 'Saving',
  'phase.sending': 'Sending the model and the data',
  'phase.waiting': 'Waiting for the target to start the run',
  'phase.fetching': 'Fetching what was trained',
  'phase.fraction': '{0}, {1}',

  'link.folder': 'The engine does not respond. The page shows what is in the run’s folder.',
  'link.untrusted':
    'This workspace is not trusted. The run is shown from its files and cannot be paused or stopped here.',
  'interrupted.words':
    'The engine ended unexpectedly at step {0}. Resume Run continues from the last checkpoint, at step {1}.',
  'interrupted.none':
    'The engine ended unexpectedly at step {0}, before the first checkpoint. Resume Run starts from the beginning.',

  'remote.away': 'Not connected',
  'remote.reconnect': 'Reconnect',

  'wait.title': 'Waiting for the runtime',
  'wait.answer': 'Training needs libtensorflow, which is not installed yet.',
  'wait.installation': 'The training starts when the runtime is installed.',
  'wait.install': 'Install',
  'wait.ask': 'More Options…',

  pause: 'Pause',
  resume: 'Resume',
  stop: 'Stop',
  continue: 'Resume Run',
  tryAdapter: 'Try Adapter',
  tryModel: 'Try Model',
  merge: 'Merge…',
  export: 'Export…',
  compare: 'Compare with Previous',
  compareHint: 'Compare with the adapter of {0}',
  runAgain: 'Run Again',
  openRecipe: 'Open Recipe',
  revealAdapter: 'Reveal Adapter',
  revealModel: 'Reveal Model',
  showLog: 'Show Log',
  copyError: 'Copy Error',
  actions: 'Run actions',
  stopHint: 'Stop after this step and keep the adapter trained so far',

  'head.step': 'Step {0} of {1}',
  'head.stepOpen': 'Step {0}',
  'head.epoch': 'Epoch {0} of {1}',
  'head.left': '{0} left',
  'head.took': 'Duration: {0}',
  'head.deviceMemory': 'GPU memory {0} of {1}',
  'head.progress': 'Training progress',

  end: 'Result',
  'end.validation.fell': 'The validation loss fell from {0} to {1}.',
  'end.validation.rose': 'The validation loss rose from {0} to {1}.',
  'end.validation.same': 'The validation loss stayed at {0}.',
  'end.loss.fell': 'The training loss fell from {0} to {1}.',
  'end.loss.rose': 'The training loss rose from {0} to {1}.',
  'end.loss.same': 'The training loss stayed at {0}.',
  'end.exact':
    'Sampled rows answered exactly as expected: {0} of {2} before training, {1} of {2} after it.',
  'end.cost': 'It took {0} and {1} of memory.',
  'end.best.last': 'The last step is the best one.',
  'end.best.earlier':
    'The best step was {0}, with a validation loss of {1}; its weights are kept in the folder “best”.',
  'end.best.metric': 'The best step was {0} ({1} {2}); its weights are kept in the folder “best”.',
  'end.early':
    'The training ended early, because {0} {0|evaluation|evaluations} in a row brought no improvement.',
  'tile.loss': 'Loss',
  'tile.loss.sub': 'smoothed {0}',
  'tile.validation': 'Validation loss',
  'tile.validation.sub': 'best {0} at step {1}',
  'tile.validation.score': '{0} {1}, {2}',
  'tile.validation.none': 'no validation set',
  'tile.learning_rate': 'Learning rate',
  'tile.grad_norm': 'Gradient norm',
  'tile.grad_norm.sub': 'clipped to {0}',
  'tile.grad_norm.unclipped': 'not clipped',
  'tile.tokens_per_second': 'Tokens per second',
  'tile.tokens_per_second.sub': '{0} {0|token|tokens} so far',
  'tile.memory': 'Memory',
  'tile.memory.sub': 'peak {0}',
  tiles: 'Key numbers',
  none: '–',

  'parameters.words': '{0} of {1} parameters {0|is|are} trained ({2}).',
  'parameters.why':
    'A d × d matrix has d² numbers; its adapter of rank r trains 2·d·r. Here r = {0}, and all d² stay frozen.',
  'parameters.full':
    'Full fine-tuning: every weight is trained, and needs a gradient and two AdamW moments in memory. An adapter of rank r would train 2·d·r numbers of each d × d matrix.',

  'health.nan':
    'The loss has been NaN since step {0}: the run has diverged. A lower learning rate usually helps.',
  'health.exploding':
    'The gradient norm jumped from about {2} to {1} at step {0}. Lower the learning rate, or clip the gradients lower (max_grad_norm; 0 does not clip), and check the rows of that step.',
  'health.climbing':
    'The training loss is rising, from {1} around step {0} to {2} now. A lower learning rate usually helps.',
  'health.zeroRate':
    'The learning rate has been 0 since step {0}, so the model no longer learns. Check lr_scheduler_type, num_train_epochs and max_steps.',
  'health.unlabelled':
    '{0} {0|step|steps} had no labelled tokens, the first at step {1}. Check “labels” in the recipe, and whether max_length cuts off the answers.',
  'health.rising':
    'The validation loss has been rising since step {0}: the adapter is overfitting. The best one is kept as Best adapter. Stop here, or train with fewer epochs or more examples.',
  'health.worse':
    'The validation loss ({0}) is higher than that of the base model ({1}). A lower learning rate, or training rows more like the validation rows, usually helps.',
  'health.skippedRows':
    'Rows with errors that were left out (skip_faulty_rows): {0}. They are listed in skipped_rows.jsonl in the folder of the run.',
  'health.noValidation':
    'Without a validation set, there is no measure of how the adapter does on unseen examples. Set validation_split to hold out some rows.',
  'health.bothFall':
    'The log-probabilities of both the chosen and the rejected answers are falling: the chosen ones from {0} to {1}, the rejected ones from {2} to {3}. The model is moving away from both. A lower learning rate, a higher beta, or an objective that also learns the chosen answers (orpo, or cpo_alpha of cpo and simpo) usually helps.',
  'health.clipped':
    'The gradients of the last {0} steps were all clipped: their norm is above max_grad_norm ({1}). A lower learning rate has the same effect more evenly.',
  notes: 'Notes on this run',

  'error.title': 'The run failed',
  'error.trouble': 'There is a problem with this run',
  'error.more': '{0} more in the log.',
  'error.detail': 'Technical details',

  charts: 'Charts',
  exportCsv: 'Export CSV',
  'markdown.what': 'What',
  'markdown.value': 'Value',
  'markdown.state': 'State',
  'chart.loss': 'Loss',
  'chart.score': 'Validation scores',
  'chart.learning_rate': 'Learning rate',
  'chart.grad_norm': 'Gradient norm',
  'chart.tokens_per_second': 'Tokens per second',
  'chart.memory': 'Memory',
  'chart.rewards': 'Rewards',
  'chart.reward_margin': 'Reward margin',
  'chart.reward_accuracy': 'Reward accuracy',
  'chart.logps': 'Log-probabilities of the answers',
  'chart.kl': 'KL divergence from the start',
  'series.loss': 'training',
  'series.smoothed': 'smoothed',
  'series.validation': 'validation',
  'series.perplexity': 'perplexity',
  'series.accuracy': 'accuracy',
  'series.f1': 'F1',
  'series.rmse': 'root mean squared error',
  'series.pearson': 'correlation',
  'series.cosine': 'cosine of pairs',
  'series.retrieval': 'nearest neighbour is the partner',
  'series.rewards_chosen': 'chosen',
  'series.validation_rewards_chosen': 'chosen, validation',
  'series.rewards_rejected': 'rejected',
  'series.validation_rewards_rejected': 'rejected, validation',
  'series.reward_margin': 'training',
  'series.validation_reward_margin': 'validation',
  'series.reward_accuracy': 'training',
  'series.validation_reward_accuracy': 'validation',
  'series.logps_chosen': 'chosen',
  'series.validation_logps_chosen': 'chosen, validation',
  'series.logps_rejected': 'rejected',
  'series.validation_logps_rejected': 'rejected, validation',
  'series.kl': 'training',
  'series.validation_kl': 'validation',
  'series.learning_rate': 'rate',
  'series.grad_norm': 'norm',
  'series.tokens_per_second': 'tokens/s',
  'series.memory': 'resident',
  'chart.label': '{0}, a line chart. {1}',
  'mark.best': 'best',
  'mark.checkpoint': 'checkpoint',
  'chart.pin': 'Pin beside the loss: {0}',
  'chart.unpin': 'Unpin: {0}',
  'chart.asTable': 'Show as table: {0}',
  'chart.asChart': 'Show as chart: {0}',
  'table.last': 'The last {0} of {1} rows. Export CSV saves all of them.',
  'table.all': '{0} {0|row|rows}, newest first.',

  'tab.batch': 'First Batch',
  'tab.events': 'Events',
  'tab.recipe': 'Recipe',
  details: 'Details of the run',

  'samples.title': 'Samples',
  'samples.base': 'Base model',
  'samples.expected': 'Expected',
  'samples.exact': 'exact match',
  'samples.row': 'Row {0}',
  'samples.before': 'What the model reads before the prompt',
  'samples.at': 'Step {0}',
  'samples.latest': 'Step {0} (latest)',
  'samples.earlier': 'Earlier steps ({0})',
  'samples.prompt': 'Prompt',
  'samples.empty': '(nothing)',
  'samples.wait':
    'Sample completions appear here: first those of the base model, then new ones every {0} {0|step|steps}.',
  'samples.off': 'Samples are switched off in the recipe (sample_steps is 0).',
  'samples.none': 'This run wrote no sample completions.',

  'batch.words':
    'The first rows as the model reads them. Highlighted text is trained on; the rest is context.',
  'batch.line': 'Line {0}',
  'batch.none': 'No rows have been read yet.',

  'event.step': 'Step',
  'event.what': 'Event',
  'event.detail': 'Detail',
  'event.created': 'Created',
  'event.started': 'Training started',
  'event.checkpoint': 'Checkpoint saved',
  'event.resume': 'Resumed',
  'event.resume.detail': 'continued from the checkpoint of this step',
  'event.best': 'Best validation loss',
  'event.best.metric': 'Best evaluation ({0})',
  'event.warn': 'Warning',
  'event.error': 'Error',
  'event.none': 'No events yet.',

  'recipe.base': 'Base model',
  'recipe.base.value': '{0} ({1}, {2} parameters)',
  'recipe.adapter': 'Adapter',
  'recipe.adapter.value': 'r {0}, lora_alpha {1}, {2}',
  'recipe.method': 'Method',
  'recipe.method.full': 'Full fine-tuning: every weight of the base model is trained',
  'recipe.data': 'Examples',
  'recipe.data.value': '{0} for training, {1} for validation',
  'recipe.tokens': 'Tokens',
  'recipe.tokens.value': '{0}, {1} of them labelled',
  'recipe.fingerprint': 'Base model files',
  'recipe.runtime': 'Runtime',
  'recipe.file': 'Recipe file',
  'recipe.commit': 'Git commit',
  'recipe.versions': 'Versions',
  'recipe.versions.value': 'LoRA Workbench {0}, Node {1}',
  'recipe.system': 'System',
  'recipe.openCommit': 'Open Commit',
  'recipe.changes': 'Show Uncommitted Changes ({0} {0|file|files})',
  'recipe.repeat': 'Repeat in a terminal',
  'recipe.copyCommand': 'Copy the command',
  'recipe.text': 'The recipe with all defaults filled in',
  'recipe.wait': 'The recipe appears here once the engine has read it.',
} as const satisfies Readonly<Record<`series.${SeriesId}` | `tile.${KeyNumberId}`, string>> &
  Readonly<Record<string, string>>;

export type StringKey = keyof typeof DASHBOARD_STRINGS;

export type DashboardStrings = Readonly<Record<StringKey, string>>;
