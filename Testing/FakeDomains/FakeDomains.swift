import Foundation
import Glibc
import Linux
import Programs

/// Domains where there is no Xen: a folder each, and a program in the place of mediated-device that serves a slot as a
/// socket in there. Who connects to that is the domain's guest, and the domain ends when it leaves. All else is the
/// real mediated-device's.
public final class FakeDomains: Sendable {
    private let scratch: Scratch

    /// The program.
    public var program: String { scratch.path("mediated-device") }

    public init() throws {
        // Device processes have users of their own.
        scratch = try Scratch(permissions: 0o777)
        let device = try Program.folder.appendingPathComponent("mediated-device").path
        _ = try scratch.write(
            """
            #!/bin/sh
            if [ "$1" = --write-checkpoint ] && [ -p '\(scratch.path("begun"))' ]; then
                echo >'\(scratch.path("begun"))'
                read -r _ <'\(scratch.path("goOn"))'
            fi
            if [ "$1" = --release-slot ]; then
                echo "$*" >>'\(scratch.path("released"))'
                [ ! -p '\(scratch.path("hanging"))' ] || read -r _ <'\(scratch.path("hanging"))'
                [ ! -e '\(scratch.path("stuck"))' ] || { cat '\(scratch.path("stuck"))' >&2; exit 70; }
                exit 0
            fi
            domain= start=
            left=$#
            while [ $left -gt 0 ]; do
                word=$1
                shift
                left=$((left - 1))
                case $word in
                --xen) domain=$1 && shift && left=$((left - 1)) ;;
                --slot) slot=$1 && shift && left=$((left - 1)) ;;
                --stay) ;;
                --identity) echo "$1" >'\(scratch.path("identity"))' && shift && left=$((left - 1)) ;;
                --start-fd)
                    start=$1
                    set -- "$@" "$word" "$1"
                    shift
                    left=$((left - 1))
                    ;;
                *) set -- "$@" "$word" ;;
                esac
            done
            if [ -n "$domain" ]; then
                cd '\(scratch.url.path)'
                if [ -e refusal ]; then
                    head -c 1 <&"$start" >/dev/null
                    cat refusal >&2
                    exit 73
                fi
                if [ ! -d "$domain" ]; then
                    head -c 1 <&"$start" >/dev/null
                    echo "There is no domain $domain." >&2
                    exit 68
                fi
                # Of the one before, which was another user's.
                rm -f "$domain/$slot"
                set -- "$@" --socket "$PWD/$domain/$slot"
            fi
            exec '\(device)' "$@"

            """, to: "mediated-device")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
    }

    public func make(_ domain: UInt16) throws {
        let folder = scratch.path("\(domain)")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder)
    }

    /// No process finds it any more.
    public func remove(_ domain: UInt16) throws {
        try FileManager.default.removeItem(atPath: scratch.path("\(domain)"))
    }

    /// From here on no process gets into a slot.
    ///
    /// - Parameter words: its last ones.
    public func refuse(_ words: String) throws { _ = try scratch.write(words + "\n", to: "refusal") }

    /// The command lines by which slots were released, in their order.
    public func released() throws -> [String] {
        guard FileManager.default.fileExists(atPath: scratch.path("released")) else { return [] }
        return try String(contentsOfFile: scratch.path("released"), encoding: .utf8)
            .split(separator: "\n").map(String.init)
    }

    /// From here on no slot can be released.
    ///
    /// - Parameter words: the last ones of what tries it.
    public func refuseRelease(_ words: String) throws { _ = try scratch.write(words + "\n", to: "stuck") }

    /// From here on what releases a slot doesn't end.
    public func holdRelease() throws {
        guard mkfifo(scratch.path("hanging"), 0o666) == 0 else { throw POSIXError(.EEXIST) }
    }

    /// Who the process is that came into a slot last.
    public func identity() throws -> String {
        try String(contentsOfFile: scratch.path("identity"), encoding: .utf8)
    }

    /// From here on what brings a state to the disk waits.
    public func holdSaving() throws {
        for name in ["begun", "goOn"] where mkfifo(scratch.path(name), 0o666) != 0 { throw POSIXError(.EEXIST) }
    }

    /// Waits until a state is about to be brought to the disk.
    public func isSaving() throws { _ = try Descriptor(reading: scratch.path("begun")).readBytes(upTo: 1) }

    public func letSavingGoOn() throws {
        try FileManager.default.removeItem(atPath: scratch.path("begun"))
        try Descriptor(writing: scratch.path("goOn")).writeAll([UInt8(ascii: "\n")].span.bytes)
    }

    /// Where a domain's guest finds a slot.
    public func socket(_ domain: UInt16, _ slot: String) -> String { scratch.path("\(domain)/\(slot)") }

    /// A folder with another program of the build's, which finds ``program`` beside itself.
    public func folder(with name: String) throws -> URL {
        let copy = scratch.url.appendingPathComponent(name)
        try FileManager.default.copyItem(at: Program.folder.appendingPathComponent(name), to: copy)
        return scratch.url
    }
}
