interface Search {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly platform?: NodeJS.Platform;
}
export declare function findProgram(name: string, options?: Search): string | null;
export declare function programPath(name: string, options?: Search): string;
export declare function programEnvironment(
  env?: Search['env'],
  platform?: NodeJS.Platform,
): Record<string, string | undefined>;
export declare function npmCommand(options?: Search): [string, string];
export declare function packageCommand(name: string): [string, string];
