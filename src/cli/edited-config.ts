// The config as `add`, `remove` and `import` change it: read, judged as it would be, written whole.
import { existsSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { Interrupted, type Context } from '../client/context.ts';
import { allow, consentDigest, isAllowed } from '../config/consent.ts';
import { editorSchemaOf, namesEditorSchema, writeEditorSchema } from '../config/editor-schema.ts';
import { formatIssue, type ConfigIssue } from '../config/issue.ts';
import { checkText, readDeclared } from '../config/load.ts';
import { findConfig, shortPath } from '../config/locate.ts';
import { textLimitBytes } from '../config/source.ts';
import { TunnelError } from '../errors.ts';
import { replaceFile } from '../files/atomic.ts';
import { makeFolders } from '../files/folders.ts';
import { underLock } from '../files/lock.ts';
import { ownershipHint, readOwned } from '../files/owned.ts';
import { shellWord } from '../model/shell-word.ts';
import { namedConfig } from '../paths.ts';
import { firstLines } from './first-config.ts';

export interface EditedConfig {
  readonly path: string;
  /** As a person writes it. */
  readonly shown: string;
  /** What stands there; the first lines of a new file. */
  readonly text: string;
  readonly isNew: boolean;
}

/** The file in use, or the one that will be. Throws CONFIG_INVALID for one that is not ours to read. */
export function configToEdit({ facts, places, options }: Context): EditedConfig {
  const path = namedConfig(facts, options.config) ?? foundPath() ?? places.defaultConfig;
  const shown = shortPath(path, facts);
  if (!existsSync(path)) return { path, shown, text: `${firstLines}\n`, isNew: true };
  return { path, shown, text: readText(path), isNew: false };

  function foundPath(): string | null {
    const found = places.configCandidates.find((candidate) => existsSync(candidate.path));
    return found === undefined ? null : findConfig(places, facts, undefined).path;
  }

  function readText(file: string): string {
    const read = readOwned(file, facts, textLimitBytes);
    if ('text' in read) return read.text;
    throw new TunnelError('CONFIG_INVALID', `cannot edit the config, ${shown}: it ${read.problem}`, {
      hint: ownershipHint(file, read.problem),
    });
  }
}

/** What `check` would say about the file if it had this text: the first problem, null for none. */
export async function problemWith(
  context: Context,
  config: EditedConfig,
  text: string,
): Promise<string | null> {
  const fault = await faultWith(context, config, text);
  return fault?.sentence ?? null;
}

export interface Fault {
  readonly issue: ConfigIssue;
  /** With its line only where the file has it already: the text that was judged is in no file. */
  readonly sentence: string;
}

export async function faultWith(
  context: Context,
  { path, text: before }: EditedConfig,
  text: string,
): Promise<Fault | null> {
  const [issue] = (await checkText(path, text, context.facts)).issues;
  if (issue === undefined) return null;
  const { issues } = await checkText(path, before, context.facts);
  const known = issues.find((each) => each.path === issue.path && each.message === issue.message);
  const without = issue.path === '' ? issue.message : `${issue.path}: ${issue.message}`;
  return { issue, sentence: known === undefined ? without : formatIssue(known) };
}

/** Writes the whole file. A project file that was allowed stays so: what was typed here is nobody else's. */
export async function writeConfig(context: Context, config: EditedConfig, text: string): Promise<void> {
  const { path, isNew } = config;
  const mayUse = isNew || wasAllowed(context, path);
  try {
    makeFolders(dirname(path));
    await underLock(path, async () => {
      const now = existsSync(path) ? configToEdit(context).text : null;
      if (now !== (isNew ? null : config.text))
        throw new TunnelError(
          'USAGE',
          `${config.shown} was changed by somebody else meanwhile: nothing is written`,
          { hint: { command: 'check', note: 'then give the command again' } },
        );
      await replaceFile(isNew ? path : realpathSync(path), text, isNew);
    });
  } catch (thrown) {
    if (thrown instanceof TunnelError && thrown.code === 'USAGE') throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new TunnelError('CONFIG_MISSING', `cannot write the config, ${config.shown}: ${why}`, {
      hint: `ls -ld ${shellWord(dirname(path))}    # may you write there?`,
      cause: thrown,
    });
  }
  if (mayUse) await allowAsIs(context, path);
  if (namesEditorSchema(text)) await renewEditorSchema(context, path);
}

/** Beside a config that names it. An editor's comfort is no reason to fail. */
export async function renewEditorSchema(context: Context, config: string): Promise<void> {
  const shown = shortPath(editorSchemaOf(config), context.facts);
  try {
    if ((await writeEditorSchema(config)) === 'foreign')
      context.talk(`note: ${shown} is not ours and stays as it is; the first line of the config names it`);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    context.talk(`note: ${shown}, for your editor, cannot be written: ${why}`);
  }
}

function wasAllowed({ facts, places }: Context, path: string): boolean {
  try {
    return isAllowed(places.stateDir, path, consentDigest(readDeclared(path, facts)));
  } catch {
    return false; // a file with faults was used by nobody
  }
}

async function allowAsIs({ facts, places, now }: Context, path: string): Promise<void> {
  try {
    await allow(places.stateDir, path, consentDigest(readDeclared(path, facts)), now());
  } catch {
    // no tunnel left in it, or a state folder that cannot be written: `up` says so
  }
}

/** Asks at the terminal. Throws when the person leaves. */
export async function agreed(context: Context, question: string): Promise<boolean> {
  const outcome = await context.prompter().confirm(question);
  if (outcome.kind === 'interrupted') throw new Interrupted('SIGINT');
  return outcome.kind === 'answered';
}
