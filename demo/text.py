"""Every sentence a user can see, in English and 繁體中文. Class names stay English.

The English of what can be wrong with a file of bands is in ``models/band_files.py``, since training says it, too.

``say(language, key, **values)`` fills the ``{braces}`` of a sentence; labels that the page itself
translates go to ``gr.I18n`` in ``ui.py``.
"""

import string

from models.band_files import PROBLEMS

LANGUAGES = ("en", "zh-TW")
CHINESE = ("zh-TW", "zh-CN")  # whose browsers get 繁體中文: Gradio's own words exist for no other Chinese

TEXT: dict[str, tuple[str, str]] = {
    # page frame
    "subtitle": (
        "See what neural networks recognise without a colour channel, and how dynamic convolution mixes its filters "
        "for each picture.",
        "看看少了色彩通道，神經網路還認得什麼，以及動態卷積如何為每張圖片混合它的卷積核（濾波器）。",
    ),
    "page_channels": ("Channels", "色彩通道"),
    "page_sweep": ("All subsets", "所有組合"),
    "page_bands": ("Multi-band", "多波段"),
    "page_compact": ("Compact & ResNet34", "Compact 與 ResNet34"),
    "page_results": ("Results", "實驗結果"),
    "page_code": ("Use it from code", "在程式中使用"),
    "common.complete": ("Done", "完成"),  # Gradio's own key, which it reads to screen readers and does not translate
    "loading": ("Waking the networks …", "正在喚醒神經網路……"),
    "other_classes": (
        "The networks know different classes, so that their answers do not compare.",
        "各網路認得的類別不同，答案無法相互比較。",
    ),
    "own_weights": ("These weights replace the bundled ones: {names}.", "下列權重取代內附的權重：{names}。"),
    "not_on_hub": (
        "These models could not be loaded from the Hub, so their bundled weights are used: {names}.",
        "下列模型無法從 Hub 載入，改用隨附的權重：{names}。",
    ),
    # controls
    "picture": ("Your picture", "你的圖片"),
    "picture_alt": ("The picture the networks are asked about", "要請網路辨識的圖片"),
    "examples": ("Or try one of these", "或試試這些"),
    "example_lion": ("A lion resting on a rock", "在岩石上休息的獅子"),
    "example_ladybug": ("A drawing of a ladybug on a leaf", "葉子上的瓢蟲（繪圖）"),
    "example_orange": ("A drawing of two oranges", "兩顆柳橙（繪圖）"),
    "example_spider_web": ("A drawing of a spider web", "蜘蛛網（繪圖）"),
    "example_cheetah": ("A cheetah, none of the classes", "獵豹，不在類別之中"),
    "example_tower": ("A lit tower, none of the classes", "點亮的鐵塔，不在類別之中"),
    "channels": ("Channels that are left", "保留的通道"),
    "red": ("Red", "紅"),
    "green": ("Green", "綠"),
    "blue": ("Blue", "藍"),
    "fill": ("When two are left, their mean goes", "剩兩個通道時，平均值放在"),
    "fill_aligned": ("into the missing slot", "缺少的位置"),
    "fill_appended": ("last", "最後"),
    "temperature": (
        "Temperature τ of the dynamic attention: lower ones prefer fewer kernels",
        "動態注意力的溫度 τ：越低越集中於少數卷積核",
    ),
    "copy_link": ("Copy link to this view", "複製此畫面的連結"),
    "link_both": ("Link copied; it is in the address bar, too.", "已複製連結，網址列中也有。"),
    "link_copied": ("Link copied.", "已複製連結。"),
    "link_shown": ("The link is in the address bar.", "連結在網址列中。"),
    "link_neither": (
        "The browser does not allow copying here: please open the app in a tab of its own and try again.",
        "瀏覽器不允許在此複製：請在獨立的分頁開啟本應用再試一次。",
    ),
    "link_own_picture": (
        "Your own picture is not part of the link, which opens with the lion and your settings.",
        "你自己的圖片不會放進連結：連結會以獅子圖片和你的設定開啟。",
    ),
    "uploads_kept": (
        "What you upload is deleted from the server after a day or so.",
        "你上傳的檔案約一天後會從伺服器刪除。",
    ),
    "known_classes": ("The {count} classes the networks know", "這些神經網路認得的 {count} 個類別"),
    # what is left of the picture
    "given_all": ("The networks get all three channels.", "網路得到全部三個通道。"),
    "given_one": ("Only {a} is left: it is copied to all three channels.", "只剩{a}色：複製到三個通道。"),
    "given_two_aligned": (
        "{missing} is missing: the mean of {a} and {b} takes its place.",
        "缺少{missing}色：以{a}、{b}的平均值補在原位。",
    ),
    "given_two_same": (
        "Blue is missing: the mean of red and green takes its place, which is the last one either way.",
        "缺少藍色：以紅、綠的平均值補在原位，也就是最後一個，兩種方式相同。",
    ),
    "given_two_appended": (
        "{missing} is missing: {a} and {b} move to the front and their mean comes last.",
        "缺少{missing}色：{a}、{b}移到前面，平均值放在最後。",
    ),
    # answers
    "vgg19": ("VGG19", "VGG19"),
    "dynamic_vgg19": ("VGG19 + dynamic convolution", "VGG19 ＋ 動態卷積"),
    "adaptive_vgg19": ("VGG19 for any channels", "任意通道 VGG19"),
    "nothing_filled": ("Nothing is filled: it gets {channels} alone.", "不填補：只給它 {channels}。"),
    "compact": ("Compact", "Compact"),
    "resnet34": ("ResNet34", "ResNet34"),
    "network_sees": ("What the networks see", "網路看到的圖片"),
    "input_whole": ("Input, {size} × {size}", "輸入，{size} × {size}"),
    "input_middle": ("Input, {size} × {size}, of the picture's middle", "輸入，{size} × {size}，圖片中央"),
    "seen_alt": (
        "The picture at {size} by {size} pixels with channels {channels}, as the networks get it",
        "網路收到的圖片：{size} × {size} 像素，通道 {channels}",
    ),
    "seen_by": ("As seen by {names}.", "{names} 收到的圖片。"),
    "seen_filled": (
        "As seen by {names}: the missing channels filled.",
        "{names} 收到的圖片：缺少的通道已填補。",
    ),
    "channel_alt": ("The {name} channel alone", "只有{name}色通道"),
    "channel_dropped": ("{name}: dropped", "{name}：已移除"),
    "agrees": ("Same answer as with all channels", "與三通道時答案相同"),
    "disagrees": ("With all channels: {name} (now rank {rank})", "三通道時為 {name}（現在排第 {rank}）"),
    "unsure": (
        "Not sure: nine in ten of its right answers on validation pictures were more certain. Perhaps it is none of "
        "the {count} classes.",
        "沒有把握：在驗證圖片上答對時，十次有九次比這更確定。也許不屬於這 {count} 個類別。",
    ),
    # kernel attention
    "attention": ("Kernel attention", "卷積核注意力"),
    "attention_lead": (
        "Each of the {layers} convolutions of {network} mixes its {kernels} kernels by these weights. "
        "Every row sums to 1; {even} everywhere would be an even mix.",
        "{network} 的 {layers} 個卷積層各以下列權重混合 {kernels} 個卷積核。每列總和為 1；全為 {even} 表示均勻混合。",
    ),
    "attention_even": (
        "On average these weights lie {value} off {even}; at 0 % a layer is a plain convolution with the mean kernel.",
        "這些權重平均偏離 {even} 達 {value}；偏離為 0 % 時，該層等同以平均核做的一般卷積。",
    ),
    "attention_worth": (
        "On {count:,} validation pictures, with all channels, this network is right in {now} with its weights and in "
        "{even} with an even mix in every layer.",
        "在 {count:,} 張三通道齊全的驗證圖片上，這個網路以其權重答對 {now}，每層都改為均勻混合時答對 {even}。",
    ),
    "attention_now": ("Weights now", "目前權重"),
    "attention_change": ("Difference from RGB", "與 RGB 的差"),
    "layer": ("Layer", "層"),
    "kernel": ("kernel W{number}", "卷積核 W{number}"),
    "no_change": ("All three channels are there, so nothing differs.", "三個通道都在，所以沒有差異。"),
    "small_change": ("No weight changes by as much as 0.01.", "沒有任何權重的變動達到 0.01。"),
    "biggest_change": (
        "Largest change: {value} in {row}, kernel W{number}.",
        "最大變化：{row}，卷積核 W{number}，{value}。",
    ),
    "channel_attention": ("Attention to each channel", "對每個通道的注意力"),
    "channel_attention_lead": (
        "{network} has {kernels} kernels in its first layer, and each draws what it sees from the channels that are "
        "there. Every column sums to 1; nothing is filled, so a missing channel has no row.",
        "{network} 的第一層有 {kernels} 個卷積核，各自從現有的通道擷取資訊。每欄總和為 1；"
        "不填補，所以缺少的通道沒有列。",
    ),
    "constant_channel": (
        "A row of zeros: that channel hardly varies, carries nothing and counts as absent.",
        "全為 0 的列：該通道幾乎沒有變化，沒有資訊，視為不存在。",
    ),
    "channel": ("Channel", "通道"),
    # sweep
    "sweep_lead": (
        "One click asks all three networks about every subset of the channels, in one batch each.",
        "按一下，三個網路各以一個批次回答所有通道組合。",
    ),
    "sweep_button": ("Ask about all seven subsets", "詢問全部七種組合"),
    "sweep_asked": (
        "Asked with the Channels page's settings: of two channels the mean goes {fill}; temperature τ = {temperature}.",
        "以「色彩通道」頁的設定詢問：兩個通道的平均值放在{fill}；溫度 τ = {temperature}。",
    ),
    "sweep_table": ("Answers for every subset", "每種組合的答案"),
    "sweep_figure": ("How sure each network stays of its own RGB answer", "各網路對自己 RGB 答案的信心"),
    "subset": ("Input", "輸入"),
    "top_one": ("top 1, confidence", "第一名、信心"),
    "rgb_rank": ("rank of RGB answer", "RGB 答案排名"),
    "subset_alt": ("The picture with channels {channels}", "只有 {channels} 通道的圖片"),
    "download_csv": ("Download CSV", "下載 CSV"),
    "sweep_legend": ("{network}: {name}", "{network}：{name}"),
    "sweep_bar_alt": ("{network}, {channels}: {value}", "{network}，{channels}：{value}"),
    # several bands
    "bands_lead": (
        "A picture of 1 to 16 bands and at most 20 MB, such as a satellite's, goes to the VGG19 that takes any "
        "channels. The other networks know only red, green and blue.",
        "把 1 到 16 個波段、最多 20 MB 的影像（例如衛星影像）交給能接受任意通道的 VGG19。其他網路只認得紅、綠、藍。",
    ),
    "bands_classes": (
        "It answers with the classes of the Channels page, animals and things. It does not know fields, water or "
        "cities: for those, train it on pictures of your sensor.",
        "它只會以「色彩通道」頁的類別（動物與物品）回答，不認得農田、水域或城市：若有需要，請用你的感測器影像訓練它。",
    ),
    "bands_file": ("Your .tif, .tiff or .npy", "你的 .tif、.tiff 或 .npy"),
    "bands_names": ("Its bands, in the file's order", "檔案中的波段，依序輸入"),
    "bands_names_info": (
        "Names for Sentinel-2's wavelengths (R, G, B, COASTAL, REDEDGE, NIR, SWIR1, SWIR2) or your sensor's own in µm, "
        "with commas; ? for an unknown one. For example: B, G, R, NIR or 0.665, 0.842, ?. A file that names them fills "
        "this in.",
        "名稱（代表 Sentinel-2 的波長：R、G、B、COASTAL、REDEDGE、NIR、SWIR1、SWIR2）或你的感測器以 µm 為單位的波長，"
        "用逗號分隔；不知道的寫 ?。"
        "例如：B, G, R, NIR 或 0.665, 0.842, ?。檔案若有標示波段，會自動填入。",
    ),
    "bands_button": ("Ask about these bands", "詢問這些波段"),
    "bands_example": (
        "Try the lion in five bands (two mixed from R, G, B)",
        "試試五個波段的獅子（其中兩個由 R、G、B 混合）",
    ),
    "lost": ("If one band were lost", "若少了一個波段"),
    "lost_lead": (
        "Each row leaves out one band and asks again, as if the sensor had lost it.",
        "每一列都少給一個波段再詢問一次，如同感測器少了它。",
    ),
    "lost_same": ("The answer stays {name}.", "答案仍是 {name}。"),
    "lost_changes": ("Bands whose loss changes the answer: {names}.", "少了就會改變答案的波段：{names}。"),
    "lost_band": ("Lost band", "少掉的波段"),
    "lost_share": ("Probability of {name}", "{name} 的機率"),
    "lost_answer": ("Answer without it", "少了它的答案"),
    "bands_attention": ("Attention to each band", "對每個波段的注意力"),
    "bands_weights": ("Weights", "權重"),
    "bands_attention_lead": (
        "Each of the {kernels} kernels of the first layer draws what it sees from the bands. Every column sums to 1.",
        "第一層的 {kernels} 個卷積核各自從這些波段擷取資訊。每欄總和為 1。",
    ),
    "bands_brightened": (
        "The bands above are shown {factor} times as bright as the network gets them.",
        "上方波段顯示的亮度為網路收到的 {factor} 倍。",
    ),
    "band": ("Band", "波段"),
    "bands_seen": ("What is in the file", "檔案的內容"),
    "false_colour": ("{red}, {green}, {blue} shown as red, green, blue", "{red}、{green}、{blue} 顯示為紅、綠、藍"),
    "false_colour_brightened": (
        "{red}, {green}, {blue} shown as red, green, blue, {factor} times as bright as the network gets them",
        "{red}、{green}、{blue} 顯示為紅、綠、藍，亮度為網路收到的 {factor} 倍",
    ),
    "false_colour_alt": (
        "The file in false colour: {red}, {green} and {blue} as red, green and blue",
        "檔案的假彩色：{red}、{green}、{blue} 作為紅、綠、藍",
    ),
    "band_alt": (
        "Band {name} alone, {size} by {size} pixels, as the network gets it",
        "網路收到的波段 {name}：{size} × {size} 像素",
    ),
    "bands_answered": (
        "{bands} {bands:band|bands} of {width} × {height} pixels.",
        "{bands} 個波段，{width} × {height} 像素。",
    ),
    "channels_first": (
        "The array was taken as bands × height × width, since only its first axis is short enough for bands.",
        "只有第一軸短到可以是波段，因此陣列視為波段 × 高 × 寬。",
    ),
    "names_in_file": ("It calls its bands {names}.", "檔案標示的波段：{names}。"),
    "names_differ": ("The names that are typed differ; they are the ones used.", "與輸入的名稱不符；以輸入的為準。"),
    "calibrated": (
        "The scale and offset that it gives for its bands were applied first.",
        "已先套用檔案為波段標示的比例與偏移。",
    ),
    "scaled_fixed": (
        "Its values ({dtype}) were divided by {divisor}, as in the training of this network, and cut to 0 and 1.",
        "值（{dtype}）與這個網路訓練時一樣除以 {divisor}，並截到 0 與 1 之間。",
    ),
    "scaled_dim": (
        "Treat this with caution: they reach less than 3 % of full brightness, as if they had been divided already.",
        "請謹慎看待：最大值不到全亮的 3 %，可能在存檔前已經除過。",
    ),
    "scaled_cut": (
        "Treat this with caution: more than 5 % of them were above 1 and were cut.",
        "請謹慎看待：超過 5 % 的值大於 1 而被截斷。",
    ),
    "scaled_8bit": ("Its 8-bit values were divided by 255.", "8 位元的值已除以 255。"),
    "scaled_not": (
        "Its values lie within 0 and 1, but for at most one in a thousand at each end, which were cut; no scaling was "
        "needed.",
        "值都在 0 與 1 之間（兩端至多各千分之一例外，已截斷），未再縮放。",
    ),
    "scaled_percentile": (
        "Its values ({dtype}) were divided by {divisor}, their 99.9th percentile over all bands, and cut to 0 and 1.",
        "值（{dtype}）已除以所有波段的第 99.9 百分位數 {divisor}，並截到 0 與 1 之間。",
    ),
    "values_missing": (
        "{count:,} {count:is|are} missing ({share}; NaN, or what the file calls no data): filled from those around, 0 "
        "in a band without any.",
        "有 {count:,} 個值缺失（{share}；NaN 或檔案標示的無資料值），已由周圍的值補上；整個波段皆無值則為 0。",
    ),
    "bands_training": (
        "Treat this with caution: in training, bands beyond R, G and B were only mixtures of R, G and B.",
        "請謹慎看待：R、G、B 以外的波段在訓練時只是 R、G、B 的混合。",
    ),
    "bands_untrained": (
        "Treat this with caution: in training, this network met no bands beyond R, G and B.",
        "請謹慎看待：這個網路在訓練時沒有見過 R、G、B 以外的波段。",
    ),
    "bands_trained_on": (
        "This network was trained on pictures of these bands: {names}.",
        "這個網路以這些波段的影像訓練：{names}。",
    ),
    # compact and resnet34
    "compact_lead": (
        "Compact is two convolutions with two blocks side by side between them: a residual-in-residual dense block "
        "(RRDB) and self-attention. Here it answers next to ResNet34, on the picture and channels you chose.",
        "compact 是兩層卷積，其間並聯殘差密集區塊（RRDB）與自注意力。這裡與 ResNet34 比較，使用你選的圖片與通道。",
    ),
    "unprepared": (
        "Trained on all three channels: {names}. With some missing, answers are right far less often than with all.",
        "只用三個通道齊全的圖片訓練：{names}。缺少通道時，答對的機會比通道齊全時少得多。",
    ),
    "pick_title": ("Where self-attention looks", "自注意力看向哪裡"),
    "pick_lead": (
        "Click a point, or move it with the arrow keys: the glow shows where it looks from there.",
        "點選一個位置，或用方向鍵移動：發亮處是從該點看向的地方。",
    ),
    "pick_alt": (
        "The picture with self-attention from the point {x} % across and {y} % down glowing over it",
        "圖片上疊加自注意力，起點在橫向 {x} %、縱向 {y} %",
    ),
    "pick_concentration": (
        "{value} of this attention lies on a tenth of the positions; spread evenly it would be 10 %.",
        "這份注意力有 {value} 集中在十分之一的位置；平均分布時為 10 %。",
    ),
    "gamma": ("Learned γ = {value}.", "學到的 γ = {value}。"),
    "gamma_small": (
        "γ is near 0, so attention adds next to nothing: the network answers almost without it.",
        "γ 接近 0，注意力幾乎沒有作用：網路幾乎不靠它作答。",
    ),
    "gamma_matters": (
        "γ is well away from 0: what attention gathers is added with this weight.",
        "γ 明顯不為 0：注意力收集的資訊以此權重加入。",
    ),
    "gamma_subtracts": (
        "γ is well below 0: what attention gathers is subtracted with this weight, so that a place is told apart from "
        "those it looks at.",
        "γ 明顯小於 0：注意力收集的資訊以此權重減去，使該處與所看向之處有所區別。",
    ),
    "no_attention": ("This compact model has no attention block.", "這個 compact 模型沒有注意力區塊。"),
    "parameters": ("parameters", "參數"),
    "macs": ("multiply-accumulates", "乘加運算"),
    "latency": ("one picture on the server, fastest of several runs", "伺服器單張耗時，多次執行中最快"),
    # results and code
    "no_results": (
        "No measured results are here yet: results/summary.json is missing.",
        "這裡還沒有量測結果：缺少 results/summary.json。",
    ),
    "results_lead": (
        "What was measured, with the size of every sample and its uncertainty. Settings were chosen on "
        "validation pictures, but earlier test results did influence what was tried next. Tables and captions are in "
        "English; there dynamic_vgg19 is VGG19 + dynamic convolution, adaptive_vgg19 the VGG19 for any channels.",
        "以下是實測結果，附樣本數與不確定性；各項設定以驗證圖片選定，但先前的測試結果影響了後來的嘗試。"
        "表格與圖說為英文，其中 dynamic_vgg19 是 VGG19 ＋ 動態卷積，adaptive_vgg19 是任意通道 VGG19。",
    ),
    "results_accuracy": ("How accurate are the networks?", "各網路有多準？"),
    "results_accuracy_lead": (
        "The five bundled networks on all three channels, each with its own interval. To compare two of them, see the "
        "paired tests in the tables below. Then: when a network says 70 %, is it right 70 % of the time?",
        "內附的五個網路在三個通道齊全時的準確率，各附自己的區間。兩個網路何者較好，要看後面表格的配對檢定。"
        "接著：信心為 70 % 的答案，是否真有 70 % 正確？",
    ),
    "results_task1": ("Task 1: what does a lost channel cost?", "任務一：少了通道，代價多大？"),
    "results_task1_lead": (
        "Every lost channel costs accuracy. Training on random channels keeps most of it; dynamic convolution shows no "
        "reliable effect. Plain and dynamic VGG19 on the seven subsets of R, G and B, missing channels filled. First "
        "trained on RGB alone, as in the study but shorter; then as bundled, trained on random channels, and longer. A "
        "small p means that so large a difference would rarely arise by chance if both were equally good. The bundled "
        "dynamic network's kernels hardly moved from the plain one's, which they started as: this pair is no verdict "
        "on dynamic convolution, for which see the ablations.",
        "每少一個通道都會降低準確率；以隨機通道訓練可保住大部分，動態卷積則看不出幫助。"
        "一般與動態 VGG19 在 R、G、B 七種子集上的表現，缺少的通道以填補代替。先是如研究一般只用 RGB 訓練（但較短），"
        "再是內附的版本（以隨機通道訓練，也訓練得更久）。p 很小表示若兩者一樣好，很少會碰巧出現這麼大的差異。"
        "內附動態網路的卷積核幾乎沒有離開起點（一般網路的卷積核），因此這一對不足以評斷動態卷積，請看消融實驗。",
    ),
    "results_any_channels": ("Any channels: does it help to fill nothing?", "任意通道：不填補有幫助嗎？"),
    "results_any_channels_lead": (
        "With a channel missing, no difference shows between filling nothing and filling (the 95 % intervals end below "
        "1.4 points); with all three the adaptive network is 0.8 points below the plain one (0.0 to 1.5) and 1.1 below "
        "the dynamic one (0.3 to 1.9). Bands beyond R, G and B only it takes. "
        "The adaptive VGG19 beside networks whose missing channels are filled, then with one to six bands, channels "
        "in another order and a channel that died unnoticed. Then what one channel can give a network whose last steps "
        "saw nothing else, and what the size of the pictures and their crop change.",
        "缺少通道時，看不出不填補與填補的差異（95 % 信賴區間都在 1.4 個百分點以內）；"
        "三個通道齊全時，任意通道網路比一般網路低 0.8 個百分點（0.0 至 1.5），比動態網路低 1.1（0.3 至 1.9）。"
        "R、G、B 以外的波段則只有這個網路能接受。"
        "任意通道 VGG19 與填補通道的網路相比；接著是一到六個波段、調換順序的通道，以及無預警失效的通道。"
        "最後是單一通道能達到多少（最後的訓練步驟只用該通道的網路），以及圖片大小與裁切的影響。",
    ),
    "results_task2": ("Task 2: can a compact network match ResNet34?", "任務二：小型網路能追上 ResNet34 嗎？"),
    "results_task2_lead": (
        "On all three channels nearly: the two differ within the error; with fewer, compact is 3 to 7 points behind. "
        "Two convolutions with an RRDB and self-attention between them, beside ResNet34: same test pictures at the "
        "same size; each was trained as suits it.",
        "三個通道齊全時幾乎追上，差距在誤差之內；通道較少時則落後 3 至 7 個百分點。"
        "兩層卷積、其間是 RRDB 與自注意力的小型網路，與 ResNet34 使用相同測試圖片、相同大小比較；"
        "兩者各用適合自己的方式訓練。",
    ),
    "results_ablations": ("Ablations: which choices matter?", "消融實驗：哪些選擇有影響？"),
    "results_ablations_lead": (
        "On single channels the adaptive network is ahead of filling by 1.8 points (0.6 to 3.0), not by its first "
        "layer alone but by random mixtures of R, G and B in training (pseudo-bands) or normalisation that follows "
        "which channels there are. Self-attention seems to help compact by about 1.5 (0.4 to 2.5, with and without "
        "the RRDB taken together). Dynamic convolution is within a point of plain convolution (0.1, -0.7 to 0.9 over "
        "ten seeds); its number of kernels and its temperature show no gain. Short trainings, most over three seeds, "
        "on validation. The last table compares: an interval that holds 0 shows no difference, nor that there is none.",
        "只剩一個通道時，任意通道網路比填補好 1.8 個百分點（0.6 至 3.0），但不是單靠第一層，"
        "而是靠訓練時加入 R、G、B 的隨機混合（pseudo-band），或隨通道調整的正規化；"
        "自注意力似乎讓 compact 好約 1.5 個百分點（0.4 至 2.5，有無 RRDB 合併計算）。"
        "動態卷積與一般卷積相差不到 1 個百分點（0.1，十個隨機種子為 -0.7 至 0.9）；"
        "卷積核數量與溫度都看不出好處。"
        "短訓練，多為三個隨機種子，在驗證集上評估。最後的表格逐一比較：區間包含 0，表示看不出差異，但不表示沒有差異。",
    ),
    "results_cost": ("What does it cost? Arithmetic, memory, time", "代價多大？運算量、記憶體、時間"),
    "results_cost_lead": (
        "Dynamic convolution as written here beside plain convolution and the usual grouped form, timed in turn in "
        "one run. Compare the ratios; milliseconds belong to their processor.",
        "本專案的動態卷積與一般卷積、常見的分組寫法，在同一次執行中輪流計時。請比較比值；毫秒數只適用於該處理器。",
    ),
    "code_lead": (
        "Everything on these pages is a few lines away, in a copy of this project's code (of a Space: its ⋮ menu, "
        "Clone repository). The project's tests check each snippet.",
        "這些頁面上的功能，只要幾行程式就能做到，請在本專案程式碼的副本中執行"
        "（Space 可由 ⋮ 選單的 Clone repository 取得）；每段程式都經過本專案的測試檢查。",
    ),
    "copy_code": ("Copy: {title}", "複製：{title}"),
    "copied_code": ("Copied: {title}", "已複製：{title}"),
    "snippet_load_model": ("Load a model and ask it", "載入模型並提問"),
    "snippet_any_channels": ("Ask about any channels, filling nothing", "詢問任意通道，不填補"),
    "snippet_own_network": (
        "Make your own network dynamic, or open it to any channels",
        "讓你自己的網路改用動態卷積，或接受任意通道",
    ),
    "snippet_torch_hub": ("With torch.hub", "使用 torch.hub"),
    "snippet_export": (
        "Write an ONNX file that takes any channels, for programs without PyTorch",
        "匯出接受任意通道的 ONNX 檔，供沒有 PyTorch 的程式使用",
    ),
    "snippet_client": ("Ask this running app", "詢問這個執行中的應用"),
    "snippet_train": ("Train on your own folder", "用你自己的資料夾訓練"),
    "snippet_gpu": ("Launch on a GPU", "在 GPU 上啟動"),
    # what can go wrong
    "no_picture": (
        "There is no picture: upload one on the Channels page, or choose an example.",
        "還沒有圖片：請在「色彩通道」頁上傳，或選一個範例。",
    ),
    "no_channels": (
        "At least one channel must be left: please switch one on, on the Channels page.",
        "至少要保留一個通道：請在「色彩通道」頁打開其中一個。",
    ),
    "picture_unreadable": (
        "This file cannot be read as a picture: please try a JPEG, PNG or WebP; files of several bands go on the "
        "Multi-band page.",
        "無法將此檔案讀成圖片：請改用 JPEG、PNG 或 WebP；多波段檔案請用「多波段」頁。",
    ),
    "file_too_large": (
        "This file is {came} MB; at most {limit} MB are possible: please save it as a JPEG or make it smaller.",
        "這個檔案有 {came} MB，最多 {limit} MB：請將圖片存成 JPEG 或縮小。",
    ),
    "picture_too_large": (
        "This picture has more than 50 megapixels: please upload a smaller copy.",
        "這張圖片超過 5000 萬像素：請上傳較小的版本。",
    ),
    "file_gone": (
        "This file is no longer on the server, which keeps files for a day: please upload or choose it again.",
        "這個檔案已不在伺服器上（只保留一天）：請重新上傳或選擇。",
    ),
    "bands_no_file": (
        "There is no file: upload a .tif, .tiff or .npy, or try the example.",
        "還沒有檔案：請上傳 .tif、.tiff 或 .npy，或試試範例。",
    ),
    "bands_missing": (PROBLEMS["missing"], "找不到檔案 {came}。"),
    "bands_suffix": (
        PROBLEMS["suffix"],
        "檔案的副檔名是 {came}，應為 .tif、.tiff 或 .npy：請將影像匯出成其中一種。",
    ),
    "bands_too_large": (
        "This file is {came} MB; at most {limit} MB are possible: please crop or reduce it.",
        "這個檔案有 {came} MB，最多 {limit} MB：請裁切或縮小。",
    ),
    "bands_too_many_values": (
        PROBLEMS["too_many_values"],
        "這張影像有 {came} 百萬個值（寬 × 高 × 波段），最多 {limit} 百萬：請裁切或縮小。",
    ),
    "bands_numpy_unreadable": (
        PROBLEMS["numpy_unreadable"],
        "無法讀成 NumPy 陣列：檔案損壞，或是可能執行程式碼而不接受的 pickle。請用 numpy.save 儲存陣列。",
    ),
    "bands_not_brightness": (
        PROBLEMS["not_brightness"],
        "這個 TIFF 的值不是亮度，其色彩以 {came} 儲存：請將影像匯出成 RGB 或灰階。",
    ),
    "bands_tiff_unreadable": (
        PROBLEMS["tiff_unreadable"],
        "無法讀成 TIFF：檔案損壞或是少見的格式。請重新存成未壓縮的 TIFF，或存成 .npy。",
    ),
    "bands_compression": (
        PROBLEMS["compression"],
        "這個 TIFF 以 {came} 壓縮；可讀的是未壓縮、LZW、Deflate、ZSTD 與 PackBits：請改用其中一種重新儲存。",
    ),
    "bands_type": (
        PROBLEMS["type"],
        "值的型別是 {came}，應為實數：請儲存 array.astype('float32')。",
    ),
    "bands_shape": (
        PROBLEMS["shape"],
        "陣列是 {came}，應為 2 軸（單一波段）或 3 軸（高 × 寬 × 波段）：請只存一張影像。",
    ),
    "bands_too_many": (
        PROBLEMS["too_many"],
        "影像是 {came}，超過 {limit} 個波段；應為高 × 寬 × 波段：請保留至多 {limit} 個波段。",
    ),
    "bands_too_small": (
        PROBLEMS["too_small"],
        "影像是 {came}，至少要 {limit} × {limit} 像素與一個波段：請選較大的影像。",
    ),
    "bands_not_finite": (
        PROBLEMS["not_finite"],
        "有 {count:,} 個值是無限大，應全為數字：沒有量測到的地方請改為 NaN。",
    ),
    "bands_empty": (PROBLEMS["empty"], "每個值都缺失（NaN 或檔案標示的無資料值），看不到任何內容：請檢查檔案。"),
    "bands_dark": (
        PROBLEMS["dark"],
        "幾乎沒有大於 0 的值（最大為 {came}），看不到任何內容；應以 0 為暗、越大越亮：請檢查檔案。",
    ),
    "bands_constant": (PROBLEMS["constant"], "每個波段都只有一個固定值，看不到任何內容：請檢查檔案。"),
    "bands_cut": (
        PROBLEMS["cut"],
        "除以 {divisor:g} 後，所有的值都截成 0 或 1（最大為 {came}），看不到任何內容：請檢查除數。",
    ),
    "bands_count": (
        "The file has {found} {found:band|bands}, but {typed} {typed:is|are} named: please give one name or wavelength "
        "per band, in the file's order, such as {example} (? for one that you do not know)",
        "檔案有 {found} 個波段，但輸入了 {typed} 個：請依檔案中的順序為每個波段輸入一個名稱或波長，"
        "例如 {example}（不知道的寫 ?）",
    ),
    "bands_unknown": (
        "There is no band called {came}; known names are {known} (? for an unknown one), and Sentinel-2's B2, "
        "B3, B4, B8 are B, G, R, NIR. For any other please type its wavelength in µm, such as 0.842.",
        "沒有名為 {came} 的波段；認得的是 {known}（? 表示不知道）；Sentinel-2 的 B2、B3、B4、B8 是 B、G、R、NIR。"
        "其他波段請輸入以 µm 為單位的波長，例如 0.842。",
    ),
    "bands_unnamed": (
        "The file has {found} {found:band|bands} and does not say which: please name them, for example {example}.",
        "檔案有 {found} 個波段，但沒有標示是哪些：請輸入名稱，例如 {example}。",
    ),
    "bands_repeated": (
        "{came} is typed more than once; each name stands for one band: please type {unknown} or a wavelength for the "
        "other one.",
        "{came} 輸入了不只一次；每個名稱代表一個波段：另一個請輸入 {unknown} 或波長。",
    ),
    "bands_points": (
        "Commas stand between bands: please write wavelengths with a point, {remedy}.",
        "逗號用來分隔波段：波長請用小數點，{remedy}。",
    ),
    "bands_nanometres": (
        "{came} looks like nanometres; wavelengths are in µm: please type {remedy}.",
        "{came} 看起來是奈米；波長以 µm 為單位：請輸入 {remedy}。",
    ),
    "bands_wavelength": (
        "{came} µm is not a wavelength between {low} and {high}; red light is 0.665: please type ? if it is unknown.",
        "{came} µm 不是介於 {low} 與 {high} 的波長；紅光是 0.665：不知道時請輸入 ?。",
    ),
    "bad_request": ("This cannot be asked: {reason}.", "無法這樣詢問：{reason}。"),
    "unanswered": (
        "The server did not answer: please try again in a moment.",
        "伺服器沒有回應：請稍後再試一次。",
    ),
    "unexpected": (
        "Something went wrong on our side: please try again or choose another picture.",
        "我們這邊出了問題：請再試一次或換一張圖片。",
    ),
}


class Sentences(string.Formatter):
    """Fills braces; ``{count:band|bands}`` is the first word where the count is one."""

    def format_field(self, value: object, spec: str) -> str:
        one, _, several = spec.partition("|")
        if not several:
            return super().format_field(value, spec)
        return one if value == 1 else several


SENTENCES = Sentences()


class FriendlyError(ValueError):
    """An expected failure; ``key`` is the sentence that says what happened and what to do next.

    ``values`` fill its braces.
    """

    def __init__(self, key: str, **values: object):
        super().__init__(say("en", key, **values))
        self.key, self.values = key, values

    def in_language(self, language: str) -> str:
        return say(language, self.key, **self.values)


def say(language: str, key: str, **values: object) -> str:
    """The sentence ``key`` in ``language``, its braces filled; ``KeyError`` for an unknown key or value."""
    return SENTENCES.format(TEXT[key][LANGUAGES.index(language)], **values)


def joined(sentences: list[str], language: str) -> str:
    """Sentences in a row; Chinese ones need no space between."""
    return (" " if language == "en" else "").join(sentences)


def translations() -> dict[str, dict[str, str]]:
    """All sentences per locale, as ``gr.I18n`` takes them."""
    english, chinese = ({key: pair[index] for key, pair in TEXT.items()} for index in range(len(LANGUAGES)))
    return {"en": english} | dict.fromkeys(CHINESE, chinese)


def language_of(accept_language: str | None) -> str:
    """The language of an Accept-Language header: 繁體中文 if one of ``CHINESE`` comes first, else English."""
    first = (accept_language or "").split(",")[0].split(";")[0].strip().lower()
    return "zh-TW" if first in map(str.lower, CHINESE) else "en"
