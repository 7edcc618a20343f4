import * as vscode from 'vscode';
import { registerAdapters } from './host/adapters/register';
import { registerCertificate } from './host/certificate/register';
import { createApi, type LoraApi } from './host/api';
import { registerChat } from './host/chat/register';
import { registerChatModels } from './host/chatModels/register';
import { registerCompletion } from './host/completion/register';
import { registerCompare } from './host/compare/register';
import { registerConfigure } from './host/configure/register';
import { registerDashboard } from './host/dashboard/register';
import { registerData } from './host/data/register';
import { registerDataPage } from './host/dataPage/register';
import { registerEngine } from './host/engine/register';
import { registerErrors } from './host/errors/register';
import { registerEvaluation } from './host/evaluation/register';
import { registerHub } from './host/hub/register';
import { registerInspector } from './host/inspector/register';
import { registerOverlay } from './host/overlay/register';
import { registerMcp } from './host/mcp/register';
import { registerPlayground } from './host/playground/register';
import { registerQueue } from './host/queue/register';
import { registerTune } from './host/tune/register';
import { registerRecipes } from './host/recipe/register';
import { registerRepository } from './host/repository/register';
import { registerRuns } from './host/runs/register';
import { registerRunsTable } from './host/runsTable/register';
import { registerRuntime } from './host/runtime/register';
import { registerSample } from './host/sample/register';
import { createServices, type Services } from './host/services';
import { registerServer } from './host/server/register';
import { registerStatusBar } from './host/status/register';
import { registerTargets } from './host/targets/register';
import { registerTasks } from './host/tasks/register';
import { registerTerminal } from './host/terminal/register';
import { useTranslations } from './host/text/l10n';
import { registerTrain } from './host/train/register';

/** The features, a folder of src/host each. They can be registered in any order. */
const FEATURES: readonly ((services: Services) => vscode.Disposable)[] = [
  registerRuns,
  registerRunsTable,
  registerDashboard,
  registerOverlay,
  registerQueue,
  registerTune,
  registerRecipes,
  registerTrain,
  registerRepository,
  registerConfigure,
  registerAdapters,
  registerCompare,
  registerEvaluation,
  registerPlayground,
  registerServer,
  registerHub,
  registerSample,
  registerInspector,
  registerCertificate,
  registerData,
  registerDataPage,
  registerTasks,
  registerTerminal,
  registerTargets,
  registerChat,
  registerMcp,
  registerChatModels,
  registerCompletion,
  registerRuntime,
  registerEngine,
  registerStatusBar,
  registerErrors,
];

/** Called by VS Code. Returns the API for other extensions. */
export function activate(context: vscode.ExtensionContext): LoraApi {
  useTranslations((message) => vscode.l10n.t(message), vscode.env.language);
  const services = createServices(context);
  for (const register of FEATURES) context.subscriptions.push(register(services));
  const { api, dispose } = createApi(services);
  context.subscriptions.push({ dispose });
  services.store.watch(false);
  void services.queue.resume();
  return api;
}
