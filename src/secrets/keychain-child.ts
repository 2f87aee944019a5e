// The only place that loads keytar, in a short-lived child of our own program: a native crash or an unlock prompt that nobody sees costs one answer, not the supervisor.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { stdin as processInput, stdout as processOutput } from 'node:process';
import type { Readable, Writable } from 'node:stream';

/** One question on stdin, as JSON, then its end. Values travel over pipes only. */
export type KeychainRequest =
  | { readonly op: 'get' | 'delete'; readonly service: string; readonly account: string }
  | { readonly op: 'set'; readonly service: string; readonly account: string; readonly value: string };

/** One answer on stdout, as JSON. */
export type KeychainAnswer =
  /** Of `get`: the value, null when it is missing for sure. Of `delete`: whether something was deleted. Of `set`: true. */
  | { readonly ok: true; readonly value: string | boolean | null }
  /** `load`: the addon is absent or does not load. `call`: the keychain refused; its own words. */
  | { readonly ok: false; readonly stage: 'load' | 'call'; readonly message: string };

type Keytar = Pick<typeof import('keytar'), 'getPassword' | 'setPassword' | 'deletePassword'>;

/** The probe that tells a locked keychain from a missing entry: always this one, so that a crash leaves at most one behind. */
const canary = { service: 'tunnel-probe', account: 'probe', value: 'probe' };

/** Runs as `tunnel __keychain`; answers the exit code. */
export async function keychainChild(): Promise<number> {
  await runKeychainChild(processInput, processOutput);
  return 0;
}

export async function runKeychainChild(stdin: Readable, stdout: Writable): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Uint8Array));
  const request = JSON.parse(Buffer.concat(chunks).toString('utf8')) as KeychainRequest;
  const answer = await answerRequest(request);
  await new Promise<void>((resolve) => {
    stdout.end(JSON.stringify(answer), () => resolve());
  });
}

async function answerRequest(request: KeychainRequest): Promise<KeychainAnswer> {
  let keytar: Keytar;
  try {
    const loaded = (await import('keytar')) as { default?: Keytar } & Keytar;
    keytar = loaded.default ?? loaded;
  } catch (thrown) {
    return { ok: false, stage: 'load', message: whyNotLoaded(thrown) };
  }
  try {
    return { ok: true, value: await call(keytar, request) };
  } catch (thrown) {
    return { ok: false, stage: 'call', message: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

async function call(keytar: Keytar, request: KeychainRequest): Promise<string | boolean | null> {
  const { service, account } = request;
  switch (request.op) {
    case 'get': {
      const value = await keytar.getPassword(service, account);
      if (value === null) await probe(keytar);
      return value;
    }
    case 'set':
      await keytar.setPassword(service, account, request.value);
      return true;
    case 'delete': {
      const deleted = await keytar.deletePassword(service, account);
      if (!deleted) await probe(keytar);
      return deleted;
    }
  }
}

/** A locked Secret Service answers "nothing there": only writing tells. Elsewhere a lock is an error of its own. */
async function probe(keytar: Keytar): Promise<void> {
  if (process.platform !== 'linux') return;
  await keytar.setPassword(canary.service, canary.account, canary.value);
  await keytar.deletePassword(canary.service, canary.account);
}

/** keytar hides what the loader said; asking the loader again tells, for instance, that libsecret is missing. */
function whyNotLoaded(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  try {
    const entry = createRequire(import.meta.url).resolve('keytar');
    const folder = `${process.platform}-${process.arch}`;
    process.dlopen({ exports: {} }, join(dirname(entry), '..', 'prebuilds', folder, 'keytar.node'));
  } catch (again) {
    return again instanceof Error ? again.message : message;
  }
  return message;
}
