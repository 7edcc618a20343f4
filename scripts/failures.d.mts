export interface Failure {
  readonly stage?: string;
  readonly file?: string | undefined;
  readonly name: string;
  readonly message: string;
  readonly notRun?: boolean;
}
interface VitestFile {
  readonly name: string;
  readonly status: string;
  readonly message?: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages?: readonly string[];
  }[];
}
export declare function vitestFailures(
  report: { readonly testResults: readonly VitestFile[] },
  root: string,
): Failure[];
interface NodeTestEvent {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}
export declare function nodeTestFailures(
  root: string,
): (event: NodeTestEvent) => Failure | undefined;
export declare function outputFailure(name: string, output: string): Failure;
export declare function failureLines(failures: readonly Failure[]): string[];
