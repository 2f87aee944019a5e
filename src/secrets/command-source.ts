// Secrets from commands (`command:[pass, show, db]`): run without a shell, in a group of its own that is killed when its time is over.
import { TunnelError } from '../errors.ts';
import { runProgram, type Ending } from '../files/child.ts';
import { cleanText } from '../model/clean.ts';
import type { Secret } from '../model/secret.ts';
import { secretFromBytes, secretLimitBytes } from './text.ts';

export interface CommandOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** What the command printed, one line end dropped. Throws SECRET_MISSING with the first line of its stderr. */
export async function readSecretCommand(argv: readonly string[], options: CommandOptions): Promise<Secret> {
  const [program] = argv;
  if (program === undefined) throw failure('command', 'it is empty');
  const { output, said, ending } = await runProgram(argv, {
    env: options.environment,
    deadlineMs: options.timeoutMs,
    outputLimitBytes: secretLimitBytes,
    signal: options.signal,
  });
  const why = endingWords(ending, options);
  const words = firstLine(said);
  if (why !== null) throw failure(program, words === '' ? why : `${why}: ${words}`);
  return secretFromBytes(output, (problem) => failure(program, problem.replace(/^it/, 'its output')));
}

/** Null for success. */
function endingWords(ending: Ending, { timeoutMs }: CommandOptions): string | null {
  switch (ending.how) {
    case 'exited':
      return ending.code === 0 ? null : `it ended with ${ending.code}`;
    case 'killed':
      return `it was ended by ${ending.by}`;
    case 'not-started':
      return ending.why.message;
    case 'late':
      return `it took longer than ${Math.round(timeoutMs / 1000)}s`;
    case 'too-much':
      return 'it printed more than a secret';
    case 'unwanted':
      return 'it is no longer wanted';
  }
}

function firstLine(bytes: Buffer): string {
  const line = bytes
    .toString('utf8')
    .split('\n')
    .map(cleanText)
    .find((text) => text !== '');
  return (line ?? '').slice(0, 200);
}

/** Only the program is named: an argument may be a secret itself. */
function failure(program: string, why: string): TunnelError {
  return new TunnelError('SECRET_MISSING', `secret command failed, on ${cleanText(program)}: ${why}`, {
    hint: 'run the command by hand and see what it prints',
    facts: { source: 'command', program: cleanText(program) },
  });
}
