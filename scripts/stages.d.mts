interface Stage {
  readonly run: 'check' | 'vitest' | 'node' | 'script';
  readonly folder?: string;
}
export declare const STAGES: Readonly<Record<string, Stage>>;
export declare const GPU: {
  readonly stages: readonly string[];
  readonly files: () => readonly string[];
};
export declare function testFiles(): string[];
export declare function stageOf(file: string): string | undefined;
export declare function filesOf(stage: string): string[];
