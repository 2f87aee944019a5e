// Unlocking a key file for a login: from memory, from its passphrase source, or by asking, up to three times.
import type { KeyObject } from 'node:crypto';
import type { Secret } from '../../model/secret.ts';
import { shellWord } from '../../model/shell-word.ts';
import { KeyError } from '../../keys/private-key.ts';
import { unlockInThread } from '../../keys/unlock.ts';
import type { KeyFile, KeyFileSecret } from './key-files.ts';
import { ask, readSource, remark, shownPath, type Scene } from './login-scene.ts';

const mostTries = 3;

/**
 * The key, or null when it cannot be had: the notes then say why. Two links that need one passphrase ask for it once.
 */
export async function unlockFile(
  scene: Scene,
  file: KeyFile,
  secret: KeyFileSecret,
): Promise<KeyObject | null> {
  if (secret.key !== null) return secret.key;
  return scene.remembered.inTurn(`key ${file.path}`, () => unlock(scene, file, secret));
}

async function unlock(scene: Scene, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const { host, remembered } = scene;
  const before = remembered.opened(file.path, secret.stamp);
  if (before !== null) return before;
  try {
    const key =
      (await fromMemory(scene, file, secret)) ??
      (await fromSource(scene, file, secret)) ??
      (await fromPerson(scene, file, secret));
    if (key !== null) remembered.keepOpened(host, file.path, secret.stamp, key);
    return key;
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    blocked(scene, `${shown(scene, file)}: ${error.message}`);
    return null;
  }
}

const shown = (scene: Scene, file: KeyFile): string => shownPath(file.path, scene.context.environment);

/** Null for a wrong passphrase; throws KeyError for everything else. */
async function open(scene: Scene, secret: KeyFileSecret, passphrase: Secret): Promise<KeyObject | null> {
  try {
    return await (scene.parts.unlock ?? unlockInThread)(secret.text, passphrase);
  } catch (error) {
    if (error instanceof KeyError && error.problem === 'passphrase-wrong') return null;
    throw error;
  }
}

async function fromMemory(scene: Scene, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const passphrase = scene.remembered.passphrase(file.path);
  if (passphrase === null) return null;
  const key = await open(scene, secret, passphrase);
  if (key === null) scene.remembered.dropPassphrase(file.path);
  return key;
}

async function fromSource(scene: Scene, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const ref = scene.host.passphrase;
  if (ref === null || ref.from === 'prompt') return null;
  const present = scene.context.personPresent();
  const obstacles = scene.notes.obstacles.length;
  const passphrase = await readSource(scene, ref, 'passphrase', file.path);
  if (passphrase === null) {
    if (present) scene.notes.obstacles.length = obstacles; // a person can still say it
    return null;
  }
  const key = await open(scene, secret, passphrase);
  if (key === null) remark(scene, `${shown(scene, file)}: the stored passphrase is wrong`);
  return key;
}

async function fromPerson(scene: Scene, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const text = `Passphrase for ${shown(scene, file)}`;
  for (let tries = 0; tries < mostTries; tries += 1) {
    const asked = await ask(scene, { kind: 'passphrase', text, echo: false, fromServer: false, tries });
    if (asked.kind === 'nobody') {
      missing(scene, file, text);
      return null;
    }
    if (asked.kind === 'declined') {
      blocked(scene, `no passphrase was given for ${shown(scene, file)}`);
      return null;
    }
    const key = await open(scene, secret, asked.secret);
    if (key !== null) {
      scene.remembered.keepPassphrase(scene.host, file.path, asked.secret);
      return key;
    }
  }
  blocked(scene, `${shown(scene, file)}: the passphrase was wrong ${mostTries} times`);
  return null;
}

function missing(scene: Scene, file: KeyFile, text: string): void {
  const known = scene.notes.obstacles.some(({ question }) => question?.kind === 'passphrase');
  if (known) return;
  scene.notes.obstacles.push({
    code: 'KEY_UNREADABLE',
    why: `${shown(scene, file)} needs its passphrase, and nobody is here to type it`,
    hint: [
      { command: 'up', on: { host: scene.host.name } },
      ` on a terminal; or ssh-add ${shellWord(shown(scene, file))}; or `,
      { command: 'secret set', on: { words: [file.path] }, flags: 'passphrase' },
    ],
    question: { kind: 'passphrase', text },
    decisive: true,
  });
}

function blocked(scene: Scene, why: string): void {
  remark(scene, why);
  scene.notes.obstacles.push({ code: 'KEY_UNREADABLE', why, hint: null, question: null, decisive: true });
}
