-- Wireshark's dissector for the recordings of Mediated: what passed between a guest and its virtual device
-- (mediated record), and the messages of vfio-user between a client and a server (mediated observe).
--
-- It belongs into a folder of Wireshark's plugins; `mediated record --dissector` prints it.
-- The layout of a record: Sources/Core/Tap/Record.swift. That of messages: the vfio-user specification.

local vfio_user = Proto("vfio_user", "vfio-user")

-- Fields ------------------------------------------------------------------------------------------------------------

local kinds = {
    "read", "write", "doorbell", "dma-read", "dma-write", "dma-fault", "message", "pin", "look", "reset",
    "running", "restored", "map", "unmap", "unmap-all", "quota", "monitor", "connected", "disconnected", "received",
    "sent", "event", "clock", "random", "client", "command", "request", "completion", [40] = "altered", [41] = "pending",
    [0x80] = "description", [0x81] = "state", [0x82] = "gap", [0x83] = "begin", [0x84] = "picture",
    [0x85] = "memory", [0x86] = "end", [0x87] = "mapped", [0x88] = "interrupts", [0x89] = "limits",
    [0x8a] = "connection", [0x8b] = "kept", [0x90] = "wire", [0x91] = "names",
}
local ways = { "call", "message", "ring", "ioregion", "request" }
local senders = { "client", "server" }
local regions = {
    [0] = "bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config", "vga",
}
local commands = {
    "VERSION", "DMA_MAP", "DMA_UNMAP", "DEVICE_GET_INFO", "DEVICE_GET_REGION_INFO", "DEVICE_GET_REGION_IO_FDS",
    "DEVICE_GET_IRQ_INFO", "DEVICE_SET_IRQS", "REGION_READ", "REGION_WRITE", "DMA_READ", "DMA_WRITE", "DEVICE_RESET",
    [15] = "REGION_WRITE_MULTI", [16] = "DEVICE_FEATURE", [17] = "MIG_DATA_READ", [18] = "MIG_DATA_WRITE",
}
local types = { [0] = "command", "reply" }
local interrupts = { [0] = "INTx", "MSI", "MSI-X", "error", "request" }
local features = {
    "MIGRATION", "MIG_DEVICE_STATE", [6] = "DMA_LOGGING_START", [7] = "DMA_LOGGING_STOP", [8] = "DMA_LOGGING_REPORT",
}
local states = {
    [0] = "ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
}
local doorbells = { [0] = "ioeventfd", "ioregionfd", "ioeventfd with shadow memory" }

local fields = {}

-- field(name, type, title, [base], [values]): the filter is vfio_user.NAME.
local function field(name, type, title, ...)
    fields[name] = ProtoField[type]("vfio_user." .. name, title, ...)
end

-- flags(name, title, {bit = name}): 32 bits as one number, and each bit.
local flag_bits = {}
local function flags(name, title, bits)
    field(name, "uint32", title, base.HEX)
    flag_bits[name] = {}
    for _, bit_and_name in ipairs(bits) do
        local bit_name = name .. "." .. bit_and_name[2]
        field(bit_name, "bool", (bit_and_name[2]:gsub("_", " ")), 32, nil, 2 ^ bit_and_name[1])
        table.insert(flag_bits[name], bit_name)
    end
end

field("kind", "uint8", "Kind", base.DEC, kinds)
field("way", "uint8", "Way", base.DEC, ways)
field("from", "uint8", "From", base.DEC, senders)
field("connection", "uint8", "Connection", base.DEC)
field("region", "uint32", "Region", base.DEC, regions)
field("head", "uint8", "Head", base.DEC)
field("number", "uint64", "Number", base.DEC)
field("time", "uint64", "Time in ns since 1970", base.DEC)
field("offset", "uint64", "Offset", base.HEX)
field("address", "uint64", "Address", base.HEX)
field("vector", "uint64", "Vector", base.DEC)
field("queue", "uint64", "Queue", base.DEC)
field("rule", "uint64", "Rule", base.DEC)
field("count", "uint64", "Count", base.DEC)
field("bytes", "uint32", "Bytes to move", base.DEC)
field("value", "uint64", "Value", base.HEX)
field("latency", "uint32", "Took ns", base.DEC)
field("part", "uint32", "Begins at byte", base.DEC)
field("has_more", "bool", "More parts follow", 32, nil, 0x80000000)
field("name", "string", "Name")
field("register", "string", "Register")
field("descriptors", "string", "Descriptors")
field("data", "bytes", "Bytes")
field("text", "string", "Text")
field("device", "string", "Device type")

field("id", "uint16", "Message ID", base.DEC)
field("command", "uint16", "Command", base.DEC, commands)
field("size", "uint32", "Message size", base.DEC)
flags("flags", "Flags", { { 4, "no_reply" }, { 5, "error" } })
field("type", "uint32", "Type", base.DEC, types, 0xf)
field("errno", "uint32", "Error", base.DEC)
field("request_in", "framenum", "Reply to", base.NONE, frametype.REQUEST)

field("argsz", "uint32", "argsz", base.DEC)
field("version.major", "uint16", "Major version", base.DEC)
field("version.minor", "uint16", "Minor version", base.DEC)
field("version.capabilities", "string", "Capabilities")
flags("dma_map.flags", "Flags", { { 0, "read" }, { 1, "write" } })
flags("dma_unmap.flags", "Flags", { { 0, "get_dirty_bitmap" }, { 1, "all" } })
field("dma.file_offset", "uint64", "Offset in the file", base.HEX)
field("dma.size", "uint64", "Size", base.HEX)
field("bitmap.page_size", "uint64", "Page size", base.DEC)
field("bitmap.size", "uint64", "Bitmap's size", base.DEC)
flags("device.flags", "Flags", { { 0, "reset" }, { 1, "pci" } })
field("device.regions", "uint32", "Regions", base.DEC)
field("device.irqs", "uint32", "Types of interrupts", base.DEC)
flags("region.flags", "Flags", { { 0, "read" }, { 1, "write" }, { 2, "mmap" }, { 3, "caps" } })
field("region.cap_offset", "uint32", "Capabilities at", base.DEC)
field("region.size", "uint64", "Size", base.HEX)
field("region.file_offset", "uint64", "Offset in the file", base.HEX)
field("cap.id", "uint16", "Capability", base.DEC, { "sparse mmap", "type", "mappable MSI-X" })
field("cap.version", "uint16", "Capability's version", base.DEC)
field("cap.next", "uint32", "Next capability at", base.DEC)
field("cap.areas", "uint32", "Areas", base.DEC)
field("reserved", "uint32", "Reserved", base.HEX)
field("cap.type", "uint32", "Type", base.HEX)
field("cap.subtype", "uint32", "Subtype", base.HEX)
field("area.offset", "uint64", "Area's offset", base.HEX)
field("area.size", "uint64", "Area's size", base.HEX)
field("io_fds.flags", "uint32", "Flags", base.HEX)
field("io_fds.count", "uint32", "Entries", base.DEC)
field("io_fd.offset", "uint64", "Offset", base.HEX)
field("io_fd.size", "uint64", "Size", base.DEC)
field("io_fd.index", "uint32", "Descriptor", base.DEC)
field("io_fd.type", "uint32", "Type", base.DEC, doorbells)
field("io_fd.flags", "uint32", "Flags", base.HEX)
field("io_fd.shadow_index", "uint32", "Descriptor of the shadow memory", base.DEC)
field("io_fd.shadow_offset", "uint64", "Offset in the shadow memory", base.HEX)
field("io_fd.datamatch", "uint64", "Value", base.HEX)
field("irq.index", "uint32", "Interrupts", base.DEC, interrupts)
flags("irq.flags", "Flags", { { 0, "eventfd" }, { 1, "maskable" }, { 2, "automasked" }, { 3, "noresize" } })
flags("irq_set.flags", "Flags", {
    { 0, "data_none" }, { 1, "data_bool" }, { 2, "data_eventfd" }, { 3, "mask" }, { 4, "unmask" }, { 5, "trigger" },
})
field("irq.start", "uint32", "First", base.DEC)
field("irq.count", "uint32", "Count", base.DEC)
field("writes", "uint64", "Writes", base.DEC)
field("feature", "uint16", "Feature", base.DEC, features)
flags("feature.flags", "Flags", { { 16, "get" }, { 17, "set" }, { 18, "probe" } })
field("migration.flags", "uint64", "Migration flags", base.HEX)
field("migration.state", "uint32", "Device state", base.DEC, states)
field("migration.data_fd", "int32", "Data descriptor", base.DEC)
field("migration.size", "uint32", "Bytes of state", base.DEC)
field("logging.page_size", "uint64", "Page size", base.DEC)
field("logging.ranges", "uint32", "Ranges", base.DEC)
field("logging.address", "uint64", "Address", base.HEX)
field("logging.length", "uint64", "Length", base.HEX)

do
    local list = {}
    for _, value in pairs(fields) do table.insert(list, value) end
    vfio_user.fields = list
end

local too_short =
    ProtoExpert.new("vfio_user.too_short", "It is too short.", expert.group.MALFORMED, expert.severity.ERROR)
local lost = ProtoExpert.new("vfio_user.lost", "Passages were lost here.", expert.group.SEQUENCE, expert.severity.WARN)
vfio_user.experts = { too_short, lost }

-- What is known of the file -----------------------------------------------------------------------------------------

-- Registers by region and offset: { name, width, access }.
local registers = {}
-- Frames of commands by connection, sender and ID, and of each reply that of its command.
local asked, answers = {}, {}

function vfio_user.init()
    registers, asked, answers = {}, {}, {}
end

local function learn_registers(text)
    registers = {}
    for region, offset, width, access, name in text:gmatch("(%d+) (%d+) (%d+) ([rw]+) ([^\n]*)\n") do
        region = tonumber(region)
        registers[region] = registers[region] or {}
        local place = registers[region]
        offset = tonumber(offset)
        place[offset] = place[offset] or {}
        table.insert(place[offset], { name = name, width = tonumber(width), access = access })
    end
end

-- The register that an access begins in.
local function register_name(region, offset, is_read)
    local places = registers[region]
    if not places or offset:higher() >= 0x100000 then return nil end
    local start = offset:tonumber()
    for distance = 0, math.min(7, start) do
        local found
        for _, register in ipairs(places[start - distance] or {}) do
            if register.access:find(is_read and "r" or "w", 1, true) then found = register end
        end
        if found then return distance < found.width and found.name or nil end
    end
end

-- Text --------------------------------------------------------------------------------------------------------------

-- Names come from guests and files.
local function printable(text) return (text:gsub("[^\32-\126]", "?")) end

local function hexadecimal(number, digits)
    local text = number:tohex()
    if digits then return "0x" .. text:sub(-digits) end
    text = text:gsub("^0+", "")
    return "0x" .. (text == "" and "0" or text)
end

local function region_name(index) return regions[index] or "region " .. index end

-- The first eight bytes as a number of the access's width; of more bytes the length.
local function value_text(value, count)
    if count >= UInt64(1) and count <= UInt64(8) then return hexadecimal(value, 2 * count:tonumber()) end
    return tostring(count) .. " bytes"
end

local function columns(...)
    local text = {}
    for _, word in ipairs({ ... }) do
        if word and word ~= "" then table.insert(text, word) end
    end
    return table.concat(text, "  ")
end

-- Messages of vfio-user ---------------------------------------------------------------------------------------------

-- Adds fields one after the other; whatever is missing is said.
local Reader = {}
Reader.__index = Reader

local function reader(tree, bytes, is_whole)
    return setmetatable({ tree = tree, bytes = bytes, at = 0, is_whole = is_whole }, Reader)
end

function Reader:left() return self.bytes:len() - self.at end

-- The range of the next bytes; nil where there are fewer.
function Reader:take(size)
    if self.failed or size > self:left() then
        -- Of a message in parts the others follow.
        if not self.failed and self.is_whole then self.tree:add_proto_expert_info(too_short) end
        self.failed = true
        return nil
    end
    local range = self.bytes:range(self.at, size)
    self.at = self.at + size
    return range
end

function Reader:add(size, name)
    local range = self:take(size)
    if not range then return nil end
    local item = self.tree:add_le(fields[name], range)
    for _, bit_name in ipairs(flag_bits[name] or {}) do item:add_le(fields[bit_name], range) end
    return size == 8 and range:le_uint64() or range:le_uint()
end

-- list: { size, name, … }
function Reader:add_all(list)
    local first
    for index = 1, #list, 2 do
        local value = self:add(list[index], list[index + 1])
        if index == 1 then first = value end
    end
    return first
end

function Reader:add_rest(name)
    if self.failed or self:left() == 0 then return end
    self.tree:add(fields[name or "data"], self:take(self:left()))
end

-- So many entries, each with these fields, as far as there are bytes.
function Reader:add_entries(count, size, list)
    local room = math.floor(self:left() / size)
    if count > UInt64(room) and self.is_whole then self.tree:add_proto_expert_info(too_short) end
    for _ = 1, count > UInt64(room) and room or count:tonumber() do self:add_all(list) end
end

local function dma_unmap(message)
    message:add_all({ 4, "argsz" })
    local flags = message:add(4, "dma_unmap.flags") or 0
    local address = message:add(8, "address")
    local size = message:add(8, "dma.size")
    if bit.band(flags, 1) ~= 0 then message:add_all({ 8, "bitmap.page_size", 8, "bitmap.size" }) end
    message:add_rest()
    if bit.band(flags, 2) ~= 0 then return "all" end
    return address and size and hexadecimal(address) .. " + " .. hexadecimal(size)
end

local function region_info(message)
    local start = message.at
    message:add_all({ 4, "argsz" })
    local flags = message:add(4, "region.flags") or 0
    local index = message:add(4, "region")
    local next = message:add(4, "region.cap_offset") or 0
    local size = message:add(8, "region.size")
    message:add(8, "region.file_offset")
    -- A list that doesn't go forward would be a loop.
    while bit.band(flags, 8) ~= 0 and not message.failed and next >= message.at - start and message.is_reply do
        if next > message:left() + message.at - start then
            message.failed = true
            message.tree:add_proto_expert_info(too_short)
            break
        end
        message.at = start + next
        local id = message:add(2, "cap.id")
        message:add(2, "cap.version")
        next = message:add(4, "cap.next") or 0
        if id == 1 then
            local areas = message:add(4, "cap.areas")
            message:add(4, "reserved")
            if areas then message:add_entries(UInt64(areas), 16, { 8, "area.offset", 8, "area.size" }) end
        elseif id == 2 then
            message:add_all({ 4, "cap.type", 4, "cap.subtype" })
        end
        if next == 0 then break end
    end
    message:add_rest()
    return index and columns(region_name(index), message.is_reply and size and hexadecimal(size) .. " bytes")
end

local function region_io_fds(message)
    message:add_all({ 4, "argsz", 4, "io_fds.flags" })
    local index = message:add(4, "region")
    local count = message:add(4, "io_fds.count") or 0
    -- Which of the two layouts it is, the length tells.
    if message:left() >= 48 * count then
        message:add_entries(UInt64(count), 48, {
            8, "io_fd.offset", 8, "io_fd.size", 4, "io_fd.index", 4, "io_fd.type", 4, "io_fd.flags",
            4, "io_fd.shadow_index", 8, "io_fd.shadow_offset", 8, "io_fd.datamatch",
        })
    else
        message:add_entries(UInt64(count), 40, {
            8, "io_fd.offset", 8, "io_fd.size", 4, "io_fd.index", 4, "io_fd.type", 4, "io_fd.flags",
            4, "reserved", 8, "io_fd.datamatch",
        })
    end
    message:add_rest()
    return index and columns(region_name(index), message.is_reply and count .. " doorbells")
end

local function irq_info(message)
    message:add_all({ 4, "argsz", 4, "irq.flags" })
    local index = message:add(4, "irq.index")
    local count = message:add(4, "irq.count")
    message:add_rest()
    if not index then return nil end
    return columns(interrupts[index] or "interrupts " .. index, message.is_reply and count and tostring(count))
end

local function set_irqs(message)
    message:add_all({ 4, "argsz", 4, "irq_set.flags" })
    local index = message:add(4, "irq.index")
    local start = message:add(4, "irq.start")
    local count = message:add(4, "irq.count")
    message:add_rest()
    return index and start and count and columns(interrupts[index] or "interrupts " .. index, start .. " + " .. count)
end

-- A number of the data's width; nil without data.
local function data_text(message)
    local count = message:left()
    if count == 0 or message.failed then return nil end
    local range = message.bytes:range(message.at, math.min(8, count))
    if count > 8 then return count .. " bytes" end
    return hexadecimal(range:le_uint64(), 2 * count)
end

local function region_access(message)
    local offset = message:add(8, "offset")
    local region = message:add(4, "region")
    local count = message:add(4, "bytes")
    if not count then return nil end
    local is_read = message.command == 9
    local name = register_name(region, offset, is_read)
    if name then message.tree:add(fields.register, name):set_generated() end
    local data = data_text(message)
    message:add_rest()
    return columns(region_name(region) .. "+" .. hexadecimal(offset) .. (name and " " .. printable(name) or ""),
        data or count .. " bytes")
end

local function dma_access(message)
    local address = message:add(8, "address")
    local count = message:add(8, "count")
    message:add_rest()
    return address and count and columns(hexadecimal(address), tostring(count) .. " bytes")
end

local function write_multi(message)
    local count = message:add(8, "writes")
    if not count then return nil end
    message:add_entries(count, 24, { 8, "offset", 4, "region", 4, "bytes", 8, "value" })
    message:add_rest()
    return tostring(count) .. " writes"
end

local function device_feature(message)
    message:add(4, "argsz")
    local range = message:take(4)
    if not range then return nil end
    local item = message.tree:add_le(fields["feature.flags"], range)
    for _, name in ipairs(flag_bits["feature.flags"]) do item:add_le(fields[name], range) end
    local feature = range:range(0, 2):le_uint()
    message.tree:add_le(fields.feature, range:range(0, 2))
    local operations = range:range(2, 2):le_uint()
    local is_probe = bit.band(operations, 4) ~= 0
    local detail
    if not is_probe and message:left() > 0 then
        if feature == 1 then
            message:add(8, "migration.flags")
        elseif feature == 2 then
            local state = message:add(4, "migration.state")
            message:add(4, "migration.data_fd")
            detail = state and (states[state] or tostring(state))
        elseif feature == 6 then
            message:add(8, "logging.page_size")
            local ranges = message:add(4, "logging.ranges")
            message:add(4, "reserved")
            if ranges then message:add_entries(UInt64(ranges), 16, { 8, "logging.address", 8, "logging.length" }) end
        elseif feature == 8 then
            message:add_all({ 8, "logging.address", 8, "logging.length", 8, "logging.page_size" })
        end
    end
    message:add_rest()
    local operation = is_probe and "probe" or bit.band(operations, 2) ~= 0 and "set" or "get"
    return columns(operation .. " " .. (features[feature] or "feature " .. feature), detail)
end

local function migration_data(message)
    message:add(4, "argsz")
    local size = message:add(4, "migration.size")
    message:add_rest()
    return size and size .. " bytes"
end

-- The payload's fields by command; each returns what it comes to, in words.
local payloads = {
    [1] = function(message)
        local major = message:add(2, "version.major")
        local minor = message:add(2, "version.minor")
        message:add_rest("version.capabilities")
        return major and minor and major .. "." .. minor
    end,
    [2] = function(message)
        message:add_all({ 4, "argsz", 4, "dma_map.flags", 8, "dma.file_offset" })
        local address = message:add(8, "address")
        local size = message:add(8, "dma.size")
        message:add_rest()
        return address and size and hexadecimal(address) .. " + " .. hexadecimal(size)
    end,
    [3] = dma_unmap,
    [4] = function(message)
        message:add_all({ 4, "argsz", 4, "device.flags", 4, "device.regions", 4, "device.irqs" })
        message:add_rest()
    end,
    [5] = region_info,
    [6] = region_io_fds,
    [7] = irq_info,
    [8] = set_irqs,
    [9] = region_access,
    [10] = region_access,
    [11] = dma_access,
    [12] = dma_access,
    [15] = write_multi,
    [16] = device_feature,
    [17] = migration_data,
    [18] = migration_data,
}

local function errno_text(errno) return "error " .. errno end

-- Returns what goes into the Info column.
local function dissect_message(bytes, pinfo, tree, record)
    local message = reader(tree, bytes, not record.has_more)
    local id = message:add(2, "id")
    local command = message:add(2, "command")
    message:add(4, "size")
    local range = message:take(4)
    if not range then return "a message that is cut off" end
    local item = tree:add_le(fields.flags, range)
    item:add_le(fields.type, range)
    for _, name in ipairs(flag_bits.flags) do item:add_le(fields[name], range) end
    local flags = range:le_uint()
    local errno = message:add(4, "errno")
    if not errno then return "a message that is cut off" end
    message.command = command
    message.is_reply = bit.band(flags, 0xf) == 1
    local key = record.connection .. ":" .. (message.is_reply and 3 - record.from or record.from) .. ":" .. id
    if not pinfo.visited then
        if message.is_reply then
            answers[pinfo.number] = asked[key]
            asked[key] = nil
        else
            asked[key] = pinfo.number
        end
    end
    if answers[pinfo.number] then tree:add(fields.request_in, answers[pinfo.number]):set_generated() end
    local detail
    -- A command without a reply's payload, and an error's reply, has none.
    if message:left() > 0 then
        if payloads[command] then detail = payloads[command](message) else message:add_rest() end
    elseif not message.is_reply and command ~= 13 and record.is_first and not record.has_more then
        tree:add_proto_expert_info(too_short)
    end
    return columns(senders[record.from] or "?", (commands[command] or "command " .. command)
        .. (message.is_reply and " reply" or ""), detail, bit.band(flags, 0x20) ~= 0 and errno_text(errno))
end

-- Records -----------------------------------------------------------------------------------------------------------

-- Where an event is, by kind: the field of its offset, and what is said of it.
local function place_and_value(record)
    local offset = hexadecimal(record.offset)
    local kind = record.kind
    if kind == 1 or kind == 2 then
        local name = record.register and " " .. printable(record.register) or ""
        return "offset", region_name(record.region) .. "+" .. offset .. name, value_text(record.value, record.count)
    elseif kind == 3 then
        local times = record.count == UInt64(1) and "once" or tostring(record.count) .. " times"
        return "offset", region_name(record.region) .. "+" .. offset, times
    elseif kind >= 4 and kind <= 6 or kind == 13 or kind == 14 or kind == 0x87 then
        return "address", "0x" .. record.offset:tohex():sub(-12), tostring(record.count) .. " bytes"
    elseif kind == 7 then
        return "vector", "vector " .. tostring(record.offset)
    elseif kind == 8 then
        return nil, "", record.value == UInt64(0) and "deasserted" or "asserted"
    elseif kind == 9 then
        return "offset", printable(record.name) .. "+" .. offset, tostring(record.count) .. " bytes"
    elseif kind == 11 then
        return nil, "", record.value == UInt64(0) and "stands still" or "goes on"
    elseif kind == 16 then
        return "offset", "", tostring(record.offset) .. " bytes, " .. tostring(record.value) .. " pictures/s"
    elseif kind == 17 or kind == 0x84 then
        local size = record.offset == UInt64(0) and "none" or tostring(record.offset) .. "x" .. tostring(record.value)
        return "offset", "head " .. record.region, size
    elseif kind == 20 or kind == 21 then
        return nil, printable(record.name), tostring(record.count) .. " bytes"
    elseif kind == 23 or kind == 24 then
        return nil, "", value_text(record.value, record.count)
    elseif kinds[kind] == "client" then
        return nil, "", record.value == UInt64(0) and "has left" or "has come"
    elseif kinds[kind] == "command" then
        local number = record.offset:tonumber()
        return "offset", commands[number] or "command " .. number, printable(record.name)
    elseif kinds[kind] == "request" or kinds[kind] == "completion" then
        return "queue", "queue " .. tostring(record.offset), tostring(record.count) .. " bytes"
    elseif kinds[kind] == "altered" then
        return "rule", "rule " .. tostring(record.offset), tostring(record.count) .. " bytes"
    elseif kind == 0x81 then
        return "offset", offset, tostring(record.bytes) .. " of " .. tostring(record.count) .. " bytes"
    elseif kind == 0x82 then
        return nil, "", tostring(record.count) .. " passages were lost"
    elseif kind == 0x85 then
        -- Without bytes so many zeros are there.
        local count = record.bytes > 0 and record.bytes .. " bytes" or tostring(record.count) .. " bytes, all 0"
        return "offset", region_name(record.region) .. "+" .. offset, count
    elseif kind < 0x80 and record.offset == UInt64(0) then
        return "offset", printable(record.name)
    end
    return "offset", printable(record.name)
end

local has_region = { [1] = true, [2] = true, [3] = true, [0x85] = true }
local has_head = { [17] = true, [0x84] = true }

local function dissect(bytes, pinfo, root)
    pinfo.cols.protocol = "vfio-user"
    local tree = root:add(vfio_user, bytes:range(0))
    local head = reader(tree, bytes, true)
    local record = {}
    local range = head:take(56)
    if not range then return bytes:len() end
    record.kind = range:range(4, 1):uint()
    record.region = range:range(6, 1):uint()
    record.offset = range:range(24, 8):le_uint64()
    record.count = range:range(32, 8):le_uint64()
    record.value = range:range(40, 8):le_uint64()
    local name_length = range:range(7, 1):uint()
    local latency = range:range(48, 4):le_uint()
    local part = range:range(52, 4):le_uint()
    record.has_more = part >= 0x80000000
    record.is_first = part % 0x80000000 == 0
    local is_wire = record.kind == 0x90

    tree:add(fields.kind, range:range(4, 1))
    local way = range:range(5, 1):uint()
    if is_wire then
        record.from, record.connection = way, record.region
        tree:add(fields.from, range:range(5, 1))
        pinfo.cols.src, pinfo.cols.dst = senders[way] or "?", senders[3 - way] or "?"
        tree:add(fields.connection, range:range(6, 1))
    elseif way ~= 0 then
        tree:add(fields.way, range:range(5, 1))
    end
    tree:add_le(fields.number, range:range(8, 8))
    tree:add_le(fields.time, range:range(16, 8))
    if has_region[record.kind] then
        tree:add(fields.region, range:range(6, 1))
    elseif has_head[record.kind] then
        tree:add(fields.head, range:range(6, 1))
    end
    local name = head:take(name_length)
    record.name = name and name_length > 0 and name:string(ENC_UTF_8) or ""
    if record.name ~= "" then tree:add(fields[is_wire and "descriptors" or "name"], name, record.name) end
    record.bytes = head:left()
    if record.kind == 1 or record.kind == 2 then
        record.register = register_name(record.region, record.offset, record.kind == 1)
    end

    local info
    if is_wire then
        if record.is_first and record.bytes > 0 then
            info = dissect_message(bytes:range(head.at):tvb(), pinfo, tree, record)
            if record.name ~= "" then info = columns(info, "with " .. printable(record.name)) end
        else
            head:add_rest()
            info = columns(senders[way] or "?", "…  " .. record.bytes .. " bytes more")
        end
    else
        local offset_field, place, value = place_and_value(record)
        if offset_field then tree:add_le(fields[offset_field], range:range(24, 8)) end
        tree:add_le(fields.count, range:range(32, 8))
        tree:add_le(fields.value, range:range(40, 8))
        if record.register then tree:add(fields.register, record.register):set_generated() end
        if latency > 0 then tree:add_le(fields.latency, range:range(48, 4)) end
        if record.kind == 0x80 or record.kind == 0x91 then
            if record.bytes > 0 then
                local text = bytes:range(head.at):string()
                if record.kind == 0x91 then
                    if not pinfo.visited then learn_registers(text) end
                else
                    local device = text:match('"type"%s*:%s*"([^"]*)"')
                    if device then
                        tree:add(fields.device, device):set_generated()
                        value = printable(device)
                    end
                end
            end
            head:add_rest("text")
        else
            head:add_rest()
        end
        if record.kind == 0x82 then tree:add_proto_expert_info(lost) end
        if not record.is_first then value = "… " .. record.bytes .. " bytes more" end
        info = columns(kinds[record.kind] or "kind " .. record.kind, place, value, ways[way])
    end
    if part ~= 0 then
        tree:add_le(fields.has_more, range:range(52, 4))
        tree:add_le(fields.part, range:range(52, 4), part % 0x80000000)
    end
    pinfo.cols.info = info
    return bytes:len()
end

function vfio_user.dissector(bytes, pinfo, root) return dissect(bytes, pinfo, root) end
