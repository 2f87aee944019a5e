// UMAC for ssh2's ciphers: crypto.js knows HMACs only. Its own ciphers do the work, with another tag on their packets.
import { Umac, umacKeyLength } from './umac.ts';

/** As OpenSSH orders them; offered last, since they are computed here and HMACs by OpenSSL. */
export const umacNames = [
  'umac-128-etm@openssh.com',
  'umac-64-etm@openssh.com',
  'umac-128@openssh.com',
  'umac-64@openssh.com',
] as const;

/** An entry of crypto.js' table, and of ours. */
interface MacInfo {
  /** What crypto.js makes an HMAC with, which nobody looks at here. */
  readonly sslName: string;
  /** Of the key. */
  readonly len: number;
  readonly actualLen: number;
  readonly isETM: boolean;
  readonly umac?: 8 | 16;
}

interface MacConfig {
  readonly macInfo?: MacInfo;
  readonly macKey?: Buffer;
  readonly forceNative?: boolean;
}

/** GenericCipherNative: the one of crypto.js that is written in JavaScript. */
interface NativeCipher {
  _dead: boolean;
  _macETM: boolean;
  _cipherInstance: { update(bytes: Uint8Array): Buffer };
  _onWrite(chunk: Uint8Array): void;
  outSeqno: number;
  encrypt(packet: Buffer): void;
}

/** GenericDecipherNative: what it has read of a packet goes into `_macInstance`, the packet's number first. */
interface NativeDecipher {
  _macInstance: unknown;
}

export interface CryptoPart {
  readonly MAC_INFO: Record<string, MacInfo>;
  createCipher: (config: { outbound: MacConfig }) => object;
  createDecipher: (config: { inbound: MacConfig }) => object;
}

/** Before the rest of ssh2 is loaded: it takes these functions out of the module when it is. */
export function addUmac(crypto: CryptoPart): void {
  for (const name of umacNames) {
    const umac = name.startsWith('umac-64') ? 8 : 16;
    const isETM = name.includes('-etm@');
    crypto.MAC_INFO[name] = { sslName: 'sha256', len: umacKeyLength, actualLen: umac, isETM, umac };
  }
  const { createCipher, createDecipher } = crypto;
  crypto.createCipher = (config) => {
    const mac = umacOf(config.outbound);
    if (mac === null) return createCipher(config);
    const native = createCipher({ outbound: { ...config.outbound, forceNative: true } });
    return tagging(native as NativeCipher, mac);
  };
  crypto.createDecipher = (config) => {
    const mac = umacOf(config.inbound);
    if (mac === null) return createDecipher(config);
    const native = createDecipher({ inbound: { ...config.inbound, forceNative: true } });
    return checking(native as NativeDecipher, mac);
  };
}

/** AES-GCM and ChaCha20-Poly1305 come without a MAC. */
function umacOf({ macInfo, macKey }: MacConfig): Umac | null {
  return macInfo?.umac === undefined || macKey === undefined ? null : new Umac(macKey, macInfo.umac);
}

/** The packet's number is the nonce (umac.c of OpenSSH); over what the tag is, -etm decides (PROTOCOL 1.5 there). */
function tagging(cipher: NativeCipher, mac: Umac): NativeCipher {
  cipher.encrypt = (packet) => {
    if (cipher._dead) return;
    const head = cipher._macETM ? packet.subarray(0, 4) : packet.subarray(0, 0);
    const encrypted = cipher._cipherInstance.update(packet.subarray(head.length));
    if (head.length > 0) cipher._onWrite(head);
    cipher._onWrite(encrypted);
    mac.update(head);
    mac.update(cipher._macETM ? encrypted : packet);
    cipher._onWrite(mac.tag(BigInt(cipher.outSeqno)));
    cipher.outSeqno = (cipher.outSeqno + 1) >>> 0;
  };
  return cipher;
}

function checking(decipher: NativeDecipher, mac: Umac): NativeDecipher {
  let nonce: bigint | null = null;
  const instance = {
    update(bytes: Uint8Array): void {
      if (nonce === null) nonce = BigInt(Buffer.from(bytes).readUInt32BE());
      else mac.update(bytes);
    },
    digest: (): Buffer => mac.tag(nonce ?? 0n),
  };
  Object.defineProperty(decipher, '_macInstance', {
    get: () => instance,
    set() {
      nonce = null; // a packet begins, or has ended
    },
  });
  return decipher;
}
