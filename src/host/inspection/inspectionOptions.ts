import type * as vscode from 'vscode';
import { hostEnvironment } from '../engine/hostEnvironment';
import type { InspectionOptions } from './inspections';

/** How the process that reads files is started. */
export const inspectionOptions = (context: vscode.ExtensionContext): InspectionOptions => ({
  node: process.execPath,
  script: context.asAbsolutePath('dist/inspect.js'),
  env: hostEnvironment,
});
