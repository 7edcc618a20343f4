import * as vscode from 'vscode';

interface RowCommand {
  readonly command: string;
  /** What the row stands for now. */
  target: unknown;
  readonly registered: vscode.Disposable;
}

/**
 * The commands of rows, each of which knows its row. VS Code forgets the arguments of a row's
 * command, and the selection of the view, while the view is read again: a click at that time would
 * do nothing or ask for the run. A command without arguments whose id names the row always works.
 */
export class RowCommands implements vscode.Disposable {
  private readonly rows = new Map<string, RowCommand>();

  /** The command of the row with this id: it invokes `command` with `target` as its argument. */
  on(row: string, { command, title }: vscode.Command, target: unknown): vscode.Command {
    // VS Code does not list commands that start with an underscore
    const id = `_${command} ${row}`;
    const known = this.rows.get(id);
    if (known) known.target = target;
    else this.rows.set(id, { command, target, registered: this.register(id) });
    return { command: id, title };
  }

  dispose(): void {
    for (const { registered } of this.rows.values()) registered.dispose();
    this.rows.clear();
  }

  private register(id: string): vscode.Disposable {
    return vscode.commands.registerCommand(id, async () => {
      const row = this.rows.get(id);
      if (row) await vscode.commands.executeCommand(row.command, row.target);
    });
  }
}
