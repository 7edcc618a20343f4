import * as vscode from 'vscode';
import type { Services } from '../services';
import { DataChecks } from './dataChecks';
import { registerDataFixes } from './dataFixes';

/** Checks datasets while they are edited, and offers quick fixes. */
export function registerData({ diagnostics, jobs, log }: Services): vscode.Disposable {
  const checks = new DataChecks(jobs, diagnostics, (message) => log.info(message));
  return vscode.Disposable.from(checks, registerDataFixes(checks));
}
