import { vi } from 'vitest';

/** A vscode.Uri of a file. */
export const uriOf = (fsPath: string) => ({ scheme: 'file', fsPath });

const labelled = (names: readonly string[]) =>
  class {
    [key: string]: unknown;
    constructor(...values: readonly unknown[]) {
      for (const [i, name] of names.entries()) this[name] = values[i];
    }
  };

/**
 * What tests of the modules that show text need of vscode: functions that record their arguments,
 * and classes that keep theirs. Lists and notifications answer with their first item.
 */
export function fakeVscode() {
  const first = (...args: readonly unknown[]) =>
    Promise.resolve(args.find((arg) => isButton(arg)) ?? undefined);
  const commands = new Map<string, (...args: readonly unknown[]) => unknown>();
  return {
    window: {
      showInformationMessage: vi.fn(first),
      showWarningMessage: vi.fn(first),
      showErrorMessage: vi.fn(first),
      setStatusBarMessage: vi.fn(),
      showQuickPick: vi.fn((items: readonly unknown[], options: { canPickMany?: boolean }) =>
        Promise.resolve(options.canPickMany ? items : items[0]),
      ),
      showInputBox: vi.fn(() => Promise.resolve('')),
      showOpenDialog: vi.fn(() => Promise.resolve(undefined)),
      showSaveDialog: vi.fn(() => Promise.resolve(undefined)),
      createStatusBarItem: vi.fn(() => ({ show: vi.fn(), hide: vi.fn() })),
      createWebviewPanel: vi.fn(() => ({ title: '' })),
      createOutputChannel: vi.fn(() => ({ info: vi.fn(), warn: vi.fn(), error: vi.fn() })),
      withProgress: vi.fn((_: unknown, job: (...args: readonly unknown[]) => unknown) =>
        job({ report: vi.fn() }, {}),
      ),
    },
    env: { clipboard: { writeText: vi.fn(() => Promise.resolve()) } },
    commands: {
      registerCommand: vi.fn((id: string, run: (...args: readonly unknown[]) => unknown) => {
        commands.set(id, run);
        return { dispose: () => commands.delete(id) };
      }),
      executeCommand: vi.fn((id: string, ...args: readonly unknown[]) =>
        Promise.resolve(commands.get(id)?.(...args)),
      ),
    },
    Uri: { file: uriOf },
    MarkdownString: labelled(['value']),
    TreeItem: labelled(['label', 'collapsibleState']),
    ThemeIcon: labelled(['id', 'color']),
    ThemeColor: labelled(['id']),
    Diagnostic: labelled(['range', 'message', 'severity']),
    Task: labelled(['definition', 'scope', 'name', 'source']),
    CustomExecution: labelled(['start']),
    LanguageModelToolResult: labelled(['content']),
    LanguageModelTextPart: labelled(['value']),
    Range: labelled(['startLine', 'startCharacter', 'endLine', 'endCharacter']),
    ViewColumn: { Active: -1 },
    DiagnosticSeverity: { Error: 0, Warning: 1 },
    TreeItemCollapsibleState: { None: 0, Collapsed: 1, Expanded: 2 },
    QuickPickItemKind: { Separator: -1, Default: 0 },
    ProgressLocation: { Window: 10, Notification: 15 },
    StatusBarAlignment: { Left: 1, Right: 2 },
  };
}

const isButton = (arg: unknown): boolean =>
  typeof arg === 'object' && arg !== null && 'title' in arg;
