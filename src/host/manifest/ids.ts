// The ids that package.json contributes, except for the commands (commands/commandTable.ts). A unit
// test compares them with package.json.

/** Views, panels and custom editors. */
export const VIEWS = {
  container: 'lora',
  runs: 'lora.runs',
  dashboard: 'lora.dashboard',
  overlay: 'lora.overlay',
  runsTable: 'lora.table',
  compare: 'lora.compare',
  evaluation: 'lora.evaluation',
  playground: 'lora.playground',
  configure: 'lora.configure',
  data: 'lora.data',
  inspector: 'lora.inspector',
  certificate: 'lora.certificate',
} as const;

/** What offers `lora mcp` to the agents of VS Code. */
export const MCP_PROVIDER = 'lora.mcp';

/** The vendor of the models that the chat offers. */
export const CHAT_VENDOR = 'lora';

/** The type of tasks that train a recipe, and the problem matcher of their output. */
export const TASK_IDS = { recipe: 'lora', problemMatcher: 'lora' } as const;

/** Settings. */
export const SETTINGS = {
  runtimePath: 'lora.runtime.path',
  runtimeUrl: 'lora.runtime.url',
  modelFolders: 'lora.models.folders',
  privateRuns: 'lora.runs.private',
  onWindowClose: 'lora.engine.onWindowClose',
  targets: 'lora.targets',
  completionLanguages: 'lora.inlineCompletion.languages',
  completionModel: 'lora.inlineCompletion.model',
} as const;

/** Context keys of when clauses. */
export const CONTEXT_KEYS = {
  hasRuns: 'lora.hasRuns',
  hasRunning: 'lora.hasRunning',
  hasActive: 'lora.hasActive',
  hasResumable: 'lora.hasResumable',
  hasUnattended: 'lora.hasUnattended',
  hasAdapters: 'lora.hasAdapters',
  hasModels: 'lora.hasModels',
  hasQueued: 'lora.hasQueued',
  hasServer: 'lora.hasServer',
  runsFiltered: 'lora.runsFiltered',
  hasSelectedAdapter: 'lora.hasSelectedAdapter',
  adapterFolders: 'lora.adapterFolders',
  modelFolders: 'lora.modelFolders',
} as const;

/** The walkthrough. */
export const WALKTHROUGH = 'lora.start';

/** The walkthrough, for the command that opens one. */
export const WALKTHROUGH_ID = `lora-workbench.lora-workbench#${WALKTHROUGH}`;

export { isRecipeName } from '../../shared/recipeName';
