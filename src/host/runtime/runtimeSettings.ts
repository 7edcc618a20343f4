import * as vscode from 'vscode';
import { COMPANION_ID } from '../../runtime/pins';
import { SETTINGS } from '../manifest/ids';
import type { RuntimeVariables } from '../terminal/loraCommand';

/** The settings that choose a runtime begin with it. */
export const RUNTIME_SECTION = 'lora.runtime';

/** The folder of the companion extension; null when it is not installed, or disabled. */
export const companionFolder = (): string | null =>
  vscode.extensions.getExtension(COMPANION_ID)?.extensionPath ?? null;

/** What the user has chosen, as variables for the engine. */
export const runtimeVariables = (): RuntimeVariables => ({
  LORA_RUNTIME_PATH: settingOf(SETTINGS.runtimePath),
  LORA_RUNTIME_URL: settingOf(SETTINGS.runtimeUrl),
  LORA_RUNTIME_COMPANION: companionFolder(),
});

/** VS Code ignores the value of an untrusted workspace (restrictedConfigurations). */
const settingOf = (setting: string): string | null =>
  vscode.workspace.getConfiguration().get<string>(setting, '').trim() || null;
